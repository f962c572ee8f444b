import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, statSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const target = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL("../../../target", import.meta.url));

/** The hub's program: what TIDINGS names, or what was built last. */
function program() {
  if (process.env.TIDINGS) return process.env.TIDINGS;
  const built = ["debug", "release"].map((profile) => `${target}/${profile}/tidings`).filter((path) => existsSync(path));
  if (!built.length) throw new Error("there is no hub to test with: cargo build -p tidings");
  return built.toSorted((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0];
}

/** A hub as a process of its own, which forgets everything with it. */
export class Hub {
  constructor(url, child) {
    this.url = url;
    this.child = child;
  }

  static async start(flags = [], { listen = "127.0.0.1:0", variables = {} } = {}) {
    const child = spawn(program(), ["serve", "--listen", listen, "--log", "memory:", ...flags], { env: variables, stdio: ["ignore", "pipe", "inherit"] });
    for await (const line of createInterface(child.stdout)) {
      const url = /^tidings listening on (\S+)$/.exec(line)?.[1];
      if (url) return new Hub(url, child);
    }
    throw new Error("the hub ended before it listened");
  }

  async end(signal = "SIGTERM") {
    const ended = once(this.child, "exit");
    if (this.child.exitCode === null && this.child.kill(signal)) await ended;
  }

  async publish(path, data, headers = {}) {
    const response = await fetch(`${this.url}/topics/${path}`, { method: "POST", body: data, headers });
    if (response.status !== 201) throw new Error(`publishing to ${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }
}
