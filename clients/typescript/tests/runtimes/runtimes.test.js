// The client in Deno and Bun, against a real hub: each reads in a program of its own, as an application would.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Hub } from "../support/hub.js";

const here = fileURLToPath(new URL(".", import.meta.url));
const machine = { x64: "x64", arm64: "aarch64" }[process.arch];

/** The programs that npm installed; the script that would put them in their places is not run. */
const runtimes = {
  deno: [[`@deno/${process.platform}-${process.arch}-glibc/deno`, `@deno/${process.platform}-${process.arch}/deno`], ["run", "--allow-net"]],
  bun: [[`@oven/bun-${process.platform}-${machine}/bin/bun`, `@oven/bun-${process.platform}-${machine}-musl/bin/bun`], ["run"]],
};

function program(places) {
  const found = places.map((place) => join(here, "node_modules", place)).find(existsSync);
  if (!found) throw new Error(`${places[0]} is missing: run \`npm ci --prefix clients/typescript/tests/runtimes\``);
  return found;
}

/** A folder in which `tidings` is installed. */
function application(t) {
  const folder = mkdtempSync(join(tmpdir(), "tidings-runtime-"));
  t.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(join(here, "../.."), join(folder, "node_modules/tidings"));
  writeFileSync(join(folder, "package.json"), '{ "type": "module", "dependencies": { "tidings": "*" } }');
  copyFileSync(join(here, "reader.js"), join(folder, "reader.js"));
  return folder;
}

/** A reader in a runtime. */
class Reader {
  constructor(t, runtime, settings) {
    const [places, flags] = runtimes[runtime];
    const args = [...flags, "reader.js", JSON.stringify(settings)];
    this.process = spawn(program(places), args, { cwd: application(t), stdio: ["pipe", "pipe", "pipe"] });
    this.gone = once(this.process, "exit");
    t.after(async () => {
      this.process.kill("SIGKILL");
      await this.gone;
    });
    this.seen = [];
    this.wrong = "";
    this.process.stderr.on("data", (text) => (this.wrong += text));
    this.lines = createInterface({ input: this.process.stdout })[Symbol.asyncIterator]();
  }

  tell(command) {
    this.process.stdin.write(`${JSON.stringify(command)}\n`);
  }

  /** Reads on to the first of what it says that has this, or has it with this value. */
  async until(what, value) {
    for (;;) {
      const { value: line, done } = await this.lines.next();
      if (done) throw new Error(`it ended: ${this.wrong}`);
      const said = JSON.parse(line);
      this.seen.push(said);
      if (what in said && (value === undefined || said[what] === value)) return said;
    }
  }

  get events() {
    return this.seen.filter(({ event }) => event).map(({ event }) => event);
  }
}

for (const runtime of Object.keys(runtimes)) {
  for (const transport of ["websocket", "sse", "long-poll", "poll"]) {
    test(`${runtime} reads by ${transport}, across a hub that is killed, and resumes by its cursor`, async (t) => {
      const hub = await Hub.start(t);
      const url = hub.topic("a");
      const settings = { url, transports: [transport], interval: 50, wait: 2_000 };
      await hub.publish("a", "one");
      const reader = new Reader(t, runtime, { ...settings, since: "earliest" });
      await reader.until("event", "one");
      reader.tell({ publish: "two" });
      await reader.until("event", "two");

      await hub.kill();
      await reader.until("state", "waiting");
      reader.tell({ publish: "three" });
      await hub.resume();
      const { cursor } = await reader.until("event", "three");
      reader.tell({ pause: true });
      await reader.until("state", "paused");
      await hub.publish("a", "four");
      reader.tell({ resume: true });
      await reader.until("event", "four");
      assert.deepEqual(reader.events, ["one", "two", "three", "four"]);
      assert.deepEqual(reader.seen.filter(({ gap }) => gap), []);

      reader.tell({ close: true });
      await reader.until("state", "closed");
      assert.deepEqual(await reader.gone, [0, null], reader.wrong);

      const later = new Reader(t, runtime, { ...settings, cursor });
      await later.until("event", "four");
      await hub.publish("a", "five", "?close=true");
      await later.until("state", "ended");
      assert.deepEqual(later.events, ["four", "five"]);

      // Who comes to a topic that has ended is told so at once.
      const last = new Reader(t, runtime, { ...settings, cursor: later.seen.findLast(({ cursor }) => cursor).cursor });
      await last.until("state", "ended");
      assert.deepEqual(last.events, []);
    });
  }

  test(`${runtime} publishes a stream as it comes, across a hub that is killed`, async (t) => {
    const hub = await Hub.start(t);
    const reader = new Reader(t, runtime, { url: hub.topic("a"), since: "earliest" });
    for (const item of ["one", "two"]) {
      reader.tell({ item });
      await reader.until("event", item);
    }
    await hub.kill();
    reader.tell({ item: "three" });
    await hub.resume();
    await reader.until("event", "three");
    reader.tell({ end: true });
    await reader.until("streamed", 3);
    assert.deepEqual(reader.events, ["one", "two", "three"]);
  });

  test(`${runtime} can share, where it has what that takes, or not`, async (t) => {
    const hub = await Hub.start(t);
    await hub.publish("a", "one");
    const reader = new Reader(t, runtime, { url: hub.topic("a"), since: "earliest", shared: true });
    await reader.until("event", "one");
    await hub.kill();
    await reader.until("state", "waiting");
    await hub.resume();
    await hub.publish("a", "two");
    await reader.until("event", "two");
    assert.deepEqual(reader.events, ["one", "two"]);
    reader.tell({ close: true });
    await reader.until("state", "closed");
    assert.deepEqual(await reader.gone, [0, null], reader.wrong);
  });
}
