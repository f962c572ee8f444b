// What a page has to load, as bundlers and servers make it. The limits are the promise of the README.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { minify } from "terser";

const KB = 1_024;

async function size(contents) {
  const resolveDir = fileURLToPath(new URL("..", import.meta.url));
  const options = { bundle: true, format: "esm", target: "es2022", write: false };
  const { outputFiles } = await build({ stdin: { contents, resolveDir }, ...options });
  const { code } = await minify(outputFiles[0].text, { module: true, ecma: 2022, compress: { passes: 3, unsafe_arrows: true } });
  return gzipSync(code, { level: 9 }).length;
}

const core = await size('export { connect } from "./dist/index.js"');

for (const [what, contents, limit] of [
  ["publishing", 'export { connect, publish } from "./dist/index.js"', KB / 2],
  ["sharing", 'export { connect } from "./dist/index.js"; export { connect as share } from "./dist/share/index.js"', 2 * KB],
]) {
  test(`${what} has at most ${limit / KB} kB more`, async (t) => {
    const more = (await size(contents)) - core;
    t.diagnostic(`${more} bytes`);
    assert.ok(more <= limit, `${more} bytes`);
  });
}

test("a page that subscribes has at most 5 kB to load, with the parser", (t) => {
  t.diagnostic(`${core} bytes`);
  assert.ok(core <= 5 * KB, `${core} bytes`);
});
