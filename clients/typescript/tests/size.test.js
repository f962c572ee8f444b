// What a page has to load, as a bundler makes it. The limits are the promise of the README.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const KB = 1_000;

async function size(contents) {
  const resolveDir = fileURLToPath(new URL("..", import.meta.url));
  const options = { bundle: true, minify: true, format: "esm", target: "es2022", write: false };
  const { outputFiles } = await build({ stdin: { contents, resolveDir }, ...options });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length;
}

const core = await size('export * from "./dist/index.js"');

test("the client with its parser has at most 5 kB", (t) => {
  t.diagnostic(`${core} bytes`);
  assert.ok(core <= 5 * KB, `${core} bytes`);
});

test("sharing has at most 2 kB more", async (t) => {
  const both = await size('export * from "./dist/index.js"; export { connect as share } from "./dist/share/index.js"');
  t.diagnostic(`${both - core} bytes`);
  assert.ok(both - core <= 2 * KB, `${both - core} bytes`);
});
