// Streams that are published as they come, against a real hub, and through what is on the way to it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { connect, publish, publishStream } from "tidings";
import { Hub } from "./support/hub.js";
import { nginx } from "./support/nginx.js";
import { problem, script } from "./support/script.js";
import { source } from "./support/source.js";
import { collect, datas, states } from "./support/wait.js";

/** A subscription to all of a topic, that ends with the test. */
function follow(t, url, options = {}) {
  const events = connect(url, { since: "earliest", ...options });
  t.after(events.close);
  return { ...collect(events), states: states(events), events };
}

const stop = (url) => publish(url, undefined, { close: true, reason: "stopped" });

test("each item is an event as it comes, and what is durable is told", async (t) => {
  const hub = await Hub.start(t);
  const seen = follow(t, hub.topic("a"));
  const { readable, write, end } = source();
  const progress = [];
  const published = publishStream(hub.topic("a"), readable, { event: "token", close: true, onProgress: (told) => progress.push(told) });
  const items = ["one", "", { n: 1 }, "two\nlines \ud83d\ude00", 7, null, new Uint8Array([255, 0])];
  for (const [n, item] of items.entries()) {
    write(item);
    // The stream is still open: nothing waits for its end.
    await seen.count(n + 1);
  }
  end();
  const { topic, events, first, last, closed } = await published;
  const told = await seen.count(items.length);
  assert.deepEqual(datas(told), ["one", "", { n: 1 }, "two\nlines \ud83d\ude00", 7, null, "/wA="]);
  assert.deepEqual([...new Set(told.map(({ event }) => event))], ["token"]);
  assert.deepEqual([topic, events, first, closed], ["a", items.length, told[0].id, true]);
  assert.equal(last, told.at(-1).id);
  assert.deepEqual(progress.at(-1), { events: items.length, last });
  assert.equal((await seen.states.until("ended")).reason, undefined);
});

test("whatever can be iterated is a source, and without `close` the topic goes on", async (t) => {
  const hub = await Hub.start(t);
  async function* tokens() {
    yield* ["a", "b"];
  }
  assert.deepEqual((await publishStream(hub.topic("a"), tokens())).closed, false);
  assert.deepEqual((await publishStream(hub.topic("a"), ["c"])).events, 1);
  assert.equal((await publishStream(hub.topic("a"), [])).events, 0);
  assert.deepEqual(datas(await follow(t, hub.topic("a")).count(3)), ["a", "b", "c"]);
  await assert.rejects(publishStream(hub.topic("a"), 7), TypeError);
  await assert.rejects(publishStream(hub.topic("a/../b"), ["x"]), TypeError);
});

test("nothing is lost or repeated while the hub is killed, and the topic is not taken for aborted", async (t) => {
  const hub = await Hub.start(t);
  const seen = follow(t, hub.topic("a"));
  const { readable, write, end } = source();
  const published = publishStream(hub.topic("a"), readable, { close: true, grace: 60_000 });
  for (let n = 0; n < 300; n++) {
    if (n === 100 || n === 200) {
      await seen.count(n - 50);
      await hub.kill();
      write(n);
      await hub.resume();
    } else write(n);
  }
  end();
  assert.equal((await published).events, 300);
  assert.deepEqual(datas(await seen.count(300)), Array.from({ length: 300 }, (_, n) => n));
  assert.equal((await seen.states.until("ended")).reason, undefined);
});

for (const transport of ["sse", "long-poll", "poll"]) {
  test(`a source that fails ends the topic as aborted, after all that it had (${transport})`, async (t) => {
    const hub = await Hub.start(t);
    const seen = follow(t, hub.topic("a"), { transports: [transport], interval: 50 });
    const { readable, write, fail } = source();
    const published = publishStream(hub.topic("a"), readable, { close: true });
    write("one");
    await seen.count(1);
    fail(new Error("the model is gone"));
    await assert.rejects(published, /the model is gone/);
    assert.equal((await seen.states.until("ended")).reason, "aborted");
    assert.deepEqual(datas(seen.seen), ["one"]);
  });
}

test("a producer that is killed ends its topic as aborted", async (t) => {
  const hub = await Hub.start(t);
  const seen = follow(t, hub.topic("a"));
  const program = `import { publishStream } from "tidings";
    await publishStream("${hub.topic("a")}", (async function* () { yield "one"; await new Promise(() => setInterval(() => {}, 1e6)); })(), { close: true, grace: 0 });`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], { cwd: fileURLToPath(new URL(".", import.meta.url)), stdio: "inherit" });
  const gone = once(child, "exit");
  await seen.count(1);
  child.kill("SIGKILL");
  await gone;
  assert.equal((await seen.states.until("ended")).reason, "aborted");
});

test("a signal breaks it off at once", async (t) => {
  const hub = await Hub.start(t);
  const seen = follow(t, hub.topic("a"));
  const { readable, write, cancelled } = source();
  const control = new AbortController();
  const published = publishStream(hub.topic("a"), readable, { close: true, signal: control.signal });
  write("one");
  await seen.count(1);
  control.abort(new Error("enough"));
  await assert.rejects(published, /enough/);
  assert.match((await cancelled).message, /enough/);
  assert.equal((await seen.states.until("ended")).reason, "aborted");
  await assert.rejects(publishStream(hub.topic("b"), ["x"], { signal: AbortSignal.abort(new Error("no")) }), /no/);
});

test("a stop button stops a producer that waits, and cancels its source", async (t) => {
  const hub = await Hub.start(t);
  const seen = follow(t, hub.topic("a"));
  const { readable, write, cancelled } = source();
  const published = publishStream(hub.topic("a"), readable, { close: true });
  write("one");
  await seen.count(1);
  const [, error] = await Promise.all([stop(hub.topic("a")), published.catch((error) => error)]);
  assert.deepEqual([error.kind, error.status, error.problem.reason], ["refused", 409, "stopped"]);
  assert.equal((await cancelled).status, 409);
  assert.equal((await seen.states.until("ended")).reason, "stopped");
  await assert.rejects(publishStream(hub.topic("a"), ["x"]), { kind: "refused", status: 409 });
});

test("no more is taken from a source than waits for the hub", async (t) => {
  // It takes a body, and acknowledges nothing.
  const server = await script(t, () => {});
  server.server.removeAllListeners("request");
  server.server.on("request", (request, response) => {
    request.resume();
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    response.flushHeaders();
  });
  let taken = 0;
  let idle = () => {};
  async function* endless() {
    for (;;) {
      taken++;
      // The last item that is taken is the one after which nobody asks any more.
      clearTimeout(idle);
      idle = setTimeout(() => control.abort(new Error("idle")), 1_000);
      yield "x".repeat(10_000);
    }
  }
  const control = new AbortController();
  await assert.rejects(publishStream(server.url, endless(), { signal: control.signal, retryFor: 0 }));
  assert.ok(taken > 50 && taken < 120, `${taken} items of 10,000 characters`);
});

test("through a proxy that holds bodies back it goes in short requests", async (t) => {
  const hub = await Hub.start(t);
  // nginx as it comes reads a body to its end before it passes it on.
  const origin = await nginx(t, hub);
  const seen = follow(t, hub.topic("a"));
  const { readable, write, end } = source();
  const published = publishStream(`${origin}/topics/a`, readable, { close: true, firstByte: 500 });
  for (let n = 0; n < 5; n++) {
    write(`token ${n}`);
    await seen.count(n + 1);
  }
  for (let n = 5; n < 2_000; n++) write(`token ${n}`);
  end();
  const { events, closed } = await published;
  assert.deepEqual([events, closed], [2_000, true]);
  assert.deepEqual(datas(await seen.count(2_000)), Array.from({ length: 2_000 }, (_, n) => `token ${n}`));
  assert.equal((await seen.states.until("ended")).reason, undefined);
});

test("a hub that is away is waited for, for so long", async (t) => {
  const hub = await Hub.start(t);
  await hub.kill();
  await assert.rejects(publishStream(hub.topic("a"), ["x"], { retryFor: 0 }), { kind: "unreachable" });
  const published = publishStream(hub.topic("a"), ["x"]);
  await hub.resume();
  assert.equal((await published).events, 1);
});

test("what the hub says in the middle of its answer is told as what it is", async (t) => {
  const refused = (response) => {
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    response.write('{"events":1,"last":"aaaaaa-1"}\n');
    response.end('{"problem":{"type":"urn:tidings:event-too-large","status":413,"detail":"item 1 is too large"}}\n');
  };
  const server = await script(t, refused);
  await assert.rejects(publishStream(server.url, ["a", "b"], {}), { kind: "refused", status: 413 });
  const portal = await script(t, problem(401, "expired"));
  await assert.rejects(publishStream(portal.url, ["a"], { token: "t" }), { kind: "refused", status: 401 });
});

test("an answer that ends before all of it is acknowledged is no success", async (t) => {
  const early = (response) => {
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    response.end('{"topic":"t","events":1,"first":"aaaaaa-1","last":"aaaaaa-1","closed":false}\n');
  };
  const open = await script(t, early);
  await assert.rejects(publishStream(open.url, ["a", "b"], { retryFor: 0 }), { kind: "broken" });
  const unclosed = await script(t, early);
  await assert.rejects(publishStream(unclosed.url, ["a"], { close: true, retryFor: 0 }), { kind: "broken" });
  const whole = await script(t, early);
  assert.equal((await publishStream(whole.url, ["a"], { retryFor: 0 })).events, 1);
});

test("a source that was quiet for long is tried again all the same", async (t) => {
  const hub = await Hub.start(t);
  const seen = follow(t, hub.topic("a"));
  const { readable, write, end } = source();
  let quiet = 0;
  const now = performance.now.bind(performance);
  t.mock.method(performance, "now", () => now() + quiet);
  const published = publishStream(hub.topic("a"), readable);
  write("x");
  await seen.count(1);
  quiet = 3_600_000;
  await hub.kill();
  await hub.resume();
  write("y");
  end();
  assert.equal((await published).events, 2);
});
