// What both clients do alike: `clients/vectors`, whose README says what each field means.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { connect, TidingsError } from "tidings";
import { Backoff } from "../dist/backoff.js";
import { CLIMB_AFTER } from "../dist/defaults.js";
import { climb } from "../dist/ladder.js";
import { Parser } from "../dist/parser.js";
import { retryAfter, send } from "../dist/request.js";
import { Span } from "../dist/span.js";
import { script } from "./support/script.js";
import { states } from "./support/wait.js";

const read = (name) => JSON.parse(readFileSync(new URL(`../../vectors/${name}.json`, import.meta.url), "utf8"));
const error = (outcome, more) =>
  outcome === "postponed" ? new TidingsError("unavailable", "") : new TidingsError(outcome, "", more);

for (const { name, steps } of read("backoff").cases) {
  test(`backoff: ${name}`, () => {
    const highest = [];
    for (let run = 0; run < 500; run++) {
      const backoff = new Backoff();
      for (const [at, { fail, good, retry, retryAfter, from, to }] of steps.entries()) {
        if (retry !== undefined) new Parser(backoff.from, () => {}).feed(`retry: ${retry}\n`);
        if (good) backoff.attempt = 0;
        if (!fail) continue;
        const delay = backoff.after(error("unavailable", { status: 503, retryAfter }), {});
        assert.ok(delay >= from && delay <= to, `step ${at}: ${delay} of ${from} to ${to}`);
        highest[at] = Math.max(highest[at] ?? 0, delay);
      }
    }
    for (const [at, { fail, from, to }] of steps.entries()) {
      if (fail) assert.ok(highest[at] >= to - (to - from) / 10, `step ${at}: never above ${highest[at]} of ${to}`);
    }
  });
}

test("Retry-After", () => {
  const { now, cases } = read("retry-after");
  for (const { name, value, milliseconds } of cases) {
    const field = new Headers({ "retry-after": value }).get("retry-after");
    assert.equal(retryAfter(field, Date.parse(now)) ?? null, milliseconds, name);
  }
});

for (const { name, wanted, status, type, body, outcome } of read("answers").cases) {
  test(`answers: ${name} is ${outcome}`, async (t) => {
    const server = await script(t, (response) => {
      response.writeHead(status, type === null ? {} : { "content-type": type });
      response.end(body);
    });
    const ask = async (backoff, options) => {
      const span = new Span();
      try {
        const response = await send(new URL(server.url), options, span, wanted);
        return response.status === 204 ? "ended" : "taken";
      } catch (cause) {
        const rest = backoff.after(span.blame(cause), options);
        return rest === Infinity ? "final" : backoff.refused ? "token" : "retry";
      } finally {
        span.abort();
      }
    };
    const [fixed, supplied] = [new Backoff(), new Backoff()];
    const token = () => "token";
    assert.equal(await ask(fixed, { token: "token" }), outcome === "token" ? "final" : outcome);
    assert.equal(await ask(supplied, { token }), outcome);
    assert.equal(await ask(supplied, { token }), outcome === "token" ? "final" : outcome);
  });
}

for (const { name, pieces, outcome } of read("streams").cases) {
  test(`streams: ${name}`, async (t) => {
    // Nothing rests, and what takes time takes none.
    t.mock.method(Math, "random", () => 0);
    let now = 0;
    t.mock.method(performance, "now", () => now);
    /** A stream after a failure: of so many pieces, and then its end. */
    const run = async (count) => {
      let asked = 0;
      const events = connect("http://hub/topics/t", {
        transports: ["sse"],
        fetch: async () => {
          if (!asked++) return new Response("", { status: 503 });
          let next = 0;
          const body = new ReadableStream(
            {
              // Each piece is asked for when the one before it is dealt with.
              pull(controller) {
                if (next === count) return controller.close();
                const { at, text } = pieces[next++];
                now = at;
                controller.enqueue(new TextEncoder().encode(text));
              },
            },
            { highWaterMark: 0 },
          );
          return new Response(body, { headers: { "content-type": "text/event-stream" } });
        },
      });
      events.on("*", () => {});
      const { until } = states(events);
      assert.equal((await until("waiting")).attempt, 1);
      const first = await until("open", "waiting");
      const last = first.status === "open" ? await until("waiting") : first;
      events.close();
      return { open: first.status === "open", good: last.attempt === 1, kind: last.error.kind };
    };
    for (const [at, { open, good }] of pieces.entries()) {
      const { kind, ...seen } = await run(at + 1);
      assert.deepEqual(seen, { open, good }, `after piece ${at}`);
      if (outcome && at === pieces.length - 1) assert.equal(kind, outcome === "postponed" ? "unavailable" : outcome);
    }
  });
}

for (const { file, name, transports, steps } of ["ladder", "websocket", "advice"].flatMap((file) => read(file).cases.map((one) => ({ file, ...one })))) {
  test(`${file}: ${name}`, () => {
    let now = 0;
    const ladder = climb(transports, CLIMB_AFTER, () => now);
    assert.equal(ladder.rung(), transports[0]);
    for (const [at, { outcome, status, atOnce, pass, advice, next }] of steps.entries()) {
      if (pass) now += pass;
      else if (advice) ladder.advised();
      else if (outcome === "good") ladder.succeeded();
      else assert.equal(ladder.failed(error(outcome, status && { status })), atOnce, `step ${at}`);
      assert.equal(ladder.rung(), next, `step ${at}`);
    }
  });
}
