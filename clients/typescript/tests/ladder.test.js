import assert from "node:assert/strict";
import { test } from "node:test";
import { TidingsError } from "tidings";
import { Backoff } from "../dist/backoff.js";
import { climb } from "../dist/ladder.js";
import { order } from "../dist/share/order.js";

const of = (kind, more) => new TidingsError(kind, "", more);
const all = ["sse", "long-poll", "poll"];

test("a stream that does not begin is followed by a poll at once", () => {
  const ladder = climb(all, 60_000);
  assert.equal(ladder.rung(), "sse");
  assert.equal(ladder.failed(of("stalled")), true);
  assert.deepEqual([ladder.rung(), ladder.proven()], ["long-poll", false]);
});

test("where polls fail too, the stream was not to blame", () => {
  const ladder = climb(all, 60_000);
  ladder.failed(of("stalled"));
  assert.equal(ladder.failed(of("unreachable")), false);
  assert.equal(ladder.rung(), "sse");
});

test("streams that keep failing are given up, but not for a hub that is down or says that it is", () => {
  const ladder = climb(all, 60_000);
  for (let n = 0; n < 100; n++) {
    for (const error of [of("unreachable"), of("token"), of("unavailable", { status: 503 }), of("unavailable", { status: 429 })]) {
      ladder.failed(error);
      assert.equal(ladder.rung(), "sse");
    }
  }
  for (const expected of ["sse", "sse", "long-poll"]) {
    ladder.failed(of("ended"));
    assert.equal(ladder.rung(), expected);
  }
});

test("a success forgets the failures before", () => {
  const ladder = climb(all, 60_000);
  for (let n = 0; n < 10; n++) {
    ladder.failed(of("ended"));
    ladder.failed(of("broken"));
    ladder.succeeded();
    assert.equal(ladder.rung(), "sse");
  }
});

test("long polls that keep failing become short ones, and streams come back", (t) => {
  t.mock.timers.enable({ apis: ["Date"] });
  const ladder = climb(all, 60_000);
  ladder.failed(of("stalled"));
  ladder.succeeded();
  ladder.failed(of("late"));
  assert.equal(ladder.rung(), "long-poll");
  ladder.failed(of("late"));
  assert.equal(ladder.rung(), "poll");
  ladder.succeeded();
  t.mock.timers.tick(59_000);
  assert.equal(ladder.rung(), "poll");
  t.mock.timers.tick(1_000);
  assert.equal(ladder.rung(), "sse");
  ladder.failed(of("ended"));
  assert.equal(ladder.rung(), "long-poll");
});

test("a transport that was asked for alone is kept", () => {
  for (const transport of all) {
    const ladder = climb([transport], 0);
    for (let n = 0; n < 10; n++) {
      assert.equal(ladder.failed(of("stalled")), false);
      assert.equal(ladder.rung(), transport);
    }
  }
});

test("delays are spread below a bound that doubles up to a cap, and begin anew", () => {
  const longest = (attempt, base) => {
    const backoff = new Backoff();
    if (base !== undefined) backoff.from(base);
    return Math.max(...Array.from({ length: 500 }, () => ((backoff.attempt = attempt), backoff.after(of("broken"), {}))));
  };
  for (const [attempt, bound] of [1, 2, 4, 8, 16, 30, 30].entries()) {
    const delay = longest(attempt);
    assert.ok(delay <= bound * 1_000 && delay > bound * 900, `${delay} of ${bound} s`);
  }
  assert.ok(longest(0, 0) <= 100);
  assert.ok(longest(2_000, 1e12) <= 3_600_000);
});

test("a time that the hub names is waited for, and a little more", () => {
  const backoff = new Backoff();
  const delay = backoff.after(of("unavailable", { status: 503, retryAfter: 7_000 }), {});
  assert.ok(delay >= 7_000 && delay <= 8_000);
});

test("cursors of one log are in order, and of two are not", () => {
  assert.ok(order("a-9", "a-10") < 0);
  assert.ok(order("a-18446744073709551615", "a-18446744073709551614") > 0);
  assert.equal(order("a-7-x", "a-7"), 0);
  assert.equal(order("a-7", "b-7"), undefined);
  assert.equal(order(undefined, "b-7"), undefined);
});
