// Every block of the README, and of docs/llm.md, as it stands there: it compiles; the first one does what it says against a real hub.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Hub } from "./support/hub.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const readme = readFileSync(join(root, "README.md"), "utf8");
const blocksOf = (page) => [...page.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language, text]) => ({ language, text }));
const blocks = blocksOf(readme);
const chats = blocksOf(readFileSync(join(root, "../../docs/llm.md"), "utf8")).filter(({ language }) => language === "ts");

/** What the blocks leave to the application. */
const application = `
  declare function fetchToken(): Promise<string>;
  declare function show(topic: string, price: number): void;
  declare function reload(gap: unknown): void;
  declare function banner(state: unknown): void;
  declare function tokens(): AsyncGenerator<string>;
`;

/** A folder of the package, so that `tidings` is found as an application finds it. */
function folder(t) {
  const folder = mkdtempSync(join(root, "tests/.readme-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

test("it has blocks, and all of them are known to this test", () => {
  assert.deepEqual(blocks.map(({ language }) => language), ["ts", "ts", "ts", "ts", "ts"]);
  assert.equal(chats.length, 4);
});

test("its blocks compile", (t) => {
  const into = folder(t);
  const files = Object.fromEntries([...blocks, ...chats].map(({ text }, n) => [`block-${n}.ts`, text]).concat([["application.d.ts", application]]));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(into, name), text);
  writeFileSync(
    join(into, "tsconfig.json"),
    JSON.stringify({ extends: "../../tsconfig.json", compilerOptions: { rootDir: "../..", noEmit: true, noUnusedLocals: false, skipLibCheck: true, moduleDetection: "force" }, include: [], files: Object.keys(files) }),
  );
  execFileSync(join(root, "node_modules/.bin/tsc"), ["-p", into], { stdio: "inherit" });
});

test("the first one does what it says", async (t) => {
  const hub = await Hub.start(t);
  const shown = new Promise((resolve) => (globalThis.show = (...event) => resolve(event)));
  const states = [];
  globalThis.fetchToken = async () => undefined;
  globalThis.reload = assert.fail;
  globalThis.banner = ({ status }) => states.push(status);
  const { transform } = await import("esbuild");
  const { code } = await transform(blocks[0].text.replaceAll("https://hub.example", hub.url), { loader: "ts" });
  const file = join(folder(t), "block.mjs");
  // What it publishes at once may come before its place in the log is known: so here it publishes when it is open.
  writeFileSync(file, `${code.replace("await publish(", "export const again = () => publish(")}\nexport { events };`);
  const { again, events } = await import(file);
  t.after(events.close);
  await new Promise((resolve) => events.on("state", ({ status }) => status === "open" && resolve()));
  const { topic } = await again();
  assert.deepEqual([await shown, topic, states.includes("open")], [["prices/x", 1], "prices/x", true]);
});
