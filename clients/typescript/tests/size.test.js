// What a page has to load, as esbuild and gzip make it. The limits are the promise of the README.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

async function size(contents) {
  const resolveDir = fileURLToPath(new URL("..", import.meta.url));
  // A page with React has it already.
  const options = { bundle: true, external: ["react"], minify: true, format: "esm", target: "es2022", write: false };
  const { outputFiles } = await build({ stdin: { contents, resolveDir }, ...options });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length;
}

const core = await size('export { connect } from "./dist/index.js"');

for (const [what, contents, limit] of [
  ["publishing", 'export { connect, publish } from "./dist/index.js"', 900],
  ["the WebSocket", 'export { connect } from "./dist/index.js"; export { websocket } from "./dist/transports/websocket.js"', 1_200],
  ["a stream that is published", 'export { connect, publish, publishStream } from "./dist/index.js"', 2_600],
  ["a text", 'export { connect } from "./dist/index.js"; export { text } from "./dist/text.js"', 500],
  ["sharing", 'export { connect } from "./dist/index.js"; export { connect as share } from "./dist/share/index.js"', 2_000],
]) {
  test(`${what} has at most ${limit} bytes more`, async (t) => {
    const more = (await size(contents)) - core;
    t.diagnostic(`${more} bytes`);
    assert.ok(more <= limit, `${more} bytes`);
  });
}

test("a page that subscribes has at most 5,500 bytes to load, with the parser", (t) => {
  t.diagnostic(`${core} bytes`);
  assert.ok(core <= 5_500, `${core} bytes`);
});

test("the hooks for React have at most 700 bytes more than what they are made of", async (t) => {
  const parts = 'export { connect } from "./dist/share/index.js"; export { text } from "./dist/text.js"; ';
  const more = (await size(`${parts} export * from "./dist/react.js"`)) - (await size(parts));
  t.diagnostic(`${more} bytes`);
  assert.ok(more <= 700, `${more} bytes`);
});
