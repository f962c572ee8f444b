// A real hub: a process of its own, on a port of its own, that can be killed and started again.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../..", import.meta.url));

/** `TIDINGS`, or the newest that cargo has built. */
export function program() {
  if (process.env.TIDINGS) return process.env.TIDINGS;
  const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
  const built = ["debug", "release"].map((kind) => join(target, kind, "tidings")).filter((path) => existsSync(path));
  if (!built.length) throw new Error(`no hub to test with: run \`cargo build\`, or name the program in TIDINGS`);
  return built.sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0];
}

export class Hub {
  /** Starts a hub that ends with the test. */
  static async start(test, ...flags) {
    const hub = new Hub();
    hub.folder = mkdtempSync(join(tmpdir(), "tidings-"));
    hub.flags = flags;
    hub.listen = "127.0.0.1:0";
    test.after(async () => {
      await hub.kill();
      rmSync(hub.folder, { recursive: true });
    });
    await hub.resume();
    return hub;
  }

  /** Starts a hub that speaks TLS, with a certificate of its own. */
  static async startTls(test, ...flags) {
    const folder = mkdtempSync(join(tmpdir(), "tidings-tls-"));
    const [certificate, key] = [join(folder, "certificate.pem"), join(folder, "key.pem")];
    execFileSync(
      "openssl",
      ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"].concat(
        ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
      ),
      { stdio: "ignore" },
    );
    test.after(() => rmSync(folder, { recursive: true }));
    return Hub.start(test, "--tls-certificate", certificate, "--tls-key", key, ...flags);
  }

  /** Starts it again, on the same port and over the same log. */
  async resume() {
    const flags = ["serve", "--listen", this.listen, "--log", `disk:${join(this.folder, "log")}`, ...this.flags];
    this.process = spawn(program(), flags, { stdio: ["ignore", "pipe", "pipe"] });
    this.gone = once(this.process, "exit");
    let said = "";
    await new Promise((resolve, reject) => {
      const hear = (text) => {
        said += text;
        const found = said.match(/listening on (https?:\/\/(\S+))/);
        if (found) resolve(([, this.url, this.listen] = found));
      };
      this.process.stdout.on("data", hear);
      this.process.stderr.on("data", hear);
      this.process.on("exit", () => reject(new Error(`the hub did not start: ${said}`)));
    });
  }

  /** Ends it as SIGKILL does, or with another signal. */
  async kill(signal = "SIGKILL") {
    this.process.kill(signal);
    await this.gone;
  }

  /** Where a program on this machine can do without TLS. */
  get cleartext() {
    return `http://${this.listen}`;
  }

  topic(topic) {
    return `${this.cleartext}/topics/${topic}`;
  }

  /** Publishes a text without the client under test. */
  async publish(topic, data, query = "") {
    const answer = await fetch(this.topic(topic) + query, { method: "POST", body: data });
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  }
}
