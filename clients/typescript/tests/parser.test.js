// The format of event streams, by the letter of the HTML standard (9.2.6), however it is cut on the way.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Parser } from "../dist/parser.js";

/** All that a stream says that comes in these pieces. */
function parse(...pieces) {
  const told = [];
  const parser = new Parser((time) => told.push(time), (block) => told.push(block));
  for (const piece of pieces) parser.feed(piece);
  return told;
}

for (const [what, text, ...told] of [
  ["an event", "event: tick\nid: 7\ndata: 1\n\n", { event: "tick", id: "7", data: "1" }],
  ["lines of data", "data: a\ndata:b\ndata:  c\n\n", { data: "a\nb\n c" }],
  ["data without a value", "data\n\ndata:\n\ndata\ndata\n\n", { data: "" }, { data: "" }, { data: "\n" }],
  ["nothing", "\n\n", {}, {}],
  ["a field without a value", "event\nid\n\n", { event: "", id: "" }],
  ["a blank that is none of the value, and one that is", "data:\tx\ndata : y\n data: z\n\n", { data: "\tx" }],
  ["colons in a value", "data: a:b: c\n\n", { data: "a:b: c" }],
  ["fields that there are none of", "Data: x\nfoo: bar\ndata_: y\n\n", {}],
  ["the last of several", "event: a\nevent: b\nid: 1\nid: 2\n\n", { event: "b", id: "2" }],
  ["an id with a NUL", "id: 1\nid: a\0b\n\n", { id: "1" }],
  ["a comment", ": why\n:\n\n", { comment: "" }],
  ["times", "retry: 10\nretry:007\nretry: 1x\nretry: -1\nretry: \nretry:  5\nretry: \u0661\n\n", 10, 7, {}],
  ["what has no end", "data: x\n\ndata: y\n", { data: "x" }],
  ["every end of a line", "data: a\rdata: b\r\ndata: c\n\r\ndata: d\r\r", { data: "a\nb\nc" }, { data: "d" }],
  ["what ends no line", "data: a\u2028b\u0085c\vd\fe\n\n", { data: "a\u2028b\u0085c\vd\fe" }],
]) {
  test(`it reads ${what}, wherever it is cut`, () => {
    assert.deepEqual(parse(text), told);
    assert.deepEqual(parse(...text), told);
    for (let first = 0; first <= text.length; first++) {
      for (let second = first; second <= text.length; second++) {
        assert.deepEqual(parse(text.slice(0, first), text.slice(first, second), text.slice(second)), told);
      }
    }
  });
}

test("a long line in small pieces takes no longer than a short one many times", () => {
  // Were each piece put together with all before it, this would be half a terabyte.
  const piece = "x".repeat(1_024);
  const pieces = Array(30_000).fill(piece);
  const [{ data }] = parse("data: ", ...pieces, "\n\n");
  assert.equal(data.length, 30_000 * 1_024);
});
