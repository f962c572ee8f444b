// A hub's secret, and tokens that are signed with it.

import { createHmac, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

export class Keys {
  #secret = randomBytes(32).toString("hex");

  /** The flags for a hub that has the secret. */
  flags(test) {
    const folder = mkdtempSync(join(tmpdir(), "tidings-keys-"));
    test.after(() => rmSync(folder, { recursive: true }));
    const file = join(folder, "secret");
    writeFileSync(file, this.#secret);
    return ["--auth-hs256-secret-file", file];
  }

  /** A token for so many seconds from now on; with less than nothing, one that has expired. */
  token({ subject: sub, seconds = 3_600, ...rights }) {
    const exp = Date.now() / 1_000 + seconds;
    const text = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub, exp, tidings: rights })}`;
    return `${text}.${createHmac("sha256", this.#secret).update(text).digest("base64url")}`;
  }
}
