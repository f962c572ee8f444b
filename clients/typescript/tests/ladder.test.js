// What the vectors do not say: whether a rung is proven, and the order of cursors.

import assert from "node:assert/strict";
import { test } from "node:test";
import { TidingsError } from "tidings";
import { climb } from "../dist/ladder.js";
import { order } from "../dist/share/order.js";

test("a rung is proven once it has worked since it was stepped on", () => {
  const ladder = climb(["sse", "long-poll", "poll"], 60_000);
  assert.equal(ladder.proven(), false);
  ladder.succeeded();
  assert.equal(ladder.proven(), true);
  ladder.failed(new TidingsError("stalled", ""));
  assert.deepEqual([ladder.rung(), ladder.proven()], ["long-poll", false]);
  ladder.succeeded();
  assert.equal(ladder.proven(), true);
});

test("cursors of one log are in order, and of two are not", () => {
  assert.ok(order("a-9", "a-10") < 0);
  assert.ok(order("a-18446744073709551615", "a-18446744073709551614") > 0);
  assert.equal(order("a-7-x", "a-7"), 0);
  assert.equal(order("a-7", "b-7"), undefined);
  assert.equal(order(undefined, "b-7"), undefined);
});
