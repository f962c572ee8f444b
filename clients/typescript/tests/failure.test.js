// What a hub does not do, but what stands between does: each ends in a state that a page can show.

import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";
import { connect } from "tidings";
import { Hub } from "./support/hub.js";
import { begin, block, ended, event, events, page, problem, script } from "./support/script.js";
import { collect, datas, states } from "./support/wait.js";

const html = (response) => {
  response.writeHead(200, { "content-type": "text/html" });
  response.end("<h1>Welcome to our free Wi-Fi</h1>");
};
const redirect = (response) => {
  response.writeHead(302, { location: "http://127.0.0.1:1/login" });
  response.end();
};
const nothing = () => {};

/** Connects, and gives the first state of a kind. */
async function first(t, url, status, options) {
  const events = connect(url, options);
  t.after(events.close);
  return states(events).until(status);
}

for (const transport of ["sse", "long-poll", "poll"]) {
  for (const [what, answer, words] of [
    ["the page of a captive portal", html, /200, text\/html/],
    ["a redirect", redirect, /302/],
    ["the wrong form", (response) => (transport === "sse" ? page({}) : ended(begin()))(response), /200/],
  ]) {
    test(`${what} is no answer of a hub: ${transport}`, async (t) => {
      const server = await script(t, answer);
      const { error, retryIn } = await first(t, server.url, "waiting", { transports: [transport] });
      assert.equal(error.kind, "unexpected");
      assert.match(error.message, words);
      assert.ok(retryIn >= 0);
    });
  }
}

test("a captive portal that lets go is got past", async (t) => {
  const server = await script(t, html, html, events(begin(), block(1)));
  const subscription = connect(server.url);
  t.after(subscription.close);
  assert.deepEqual(datas(await collect(subscription).count(1)), [1]);
});

test("the 404 of a proxy while the hub is deployed is got past, by every transport", async (t) => {
  const missing = (response) => {
    response.writeHead(404, { "content-type": "text/html" });
    response.end("<h1>Not Found</h1>");
  };
  for (const transport of ["sse", "long-poll", "poll"]) {
    const answer = transport === "sse" ? events(begin(), block(1)) : page({ events: [event(1)], next: "aaaaaa-1" });
    const server = await script(t, missing, answer);
    const subscription = connect(server.url, { transports: [transport] });
    t.after(subscription.close);
    const { until } = states(subscription);
    const seen = collect(subscription);
    const { error } = await until("waiting");
    assert.deepEqual([error.kind, error.status, error.message], ["unexpected", 404, "unexpected: 404, text/html"]);
    assert.deepEqual(datas(await seen.count(1)), [1]);
  }
});

test("a hub that ends every stream for now is asked for one again, and nothing else", async (t) => {
  const later = ended("retry: 100\n: the log is away\n\n");
  const server = await script(t, later, later, later, later, events(begin(), block(1)));
  const subscription = connect(server.url);
  t.after(subscription.close);
  const { until } = states(subscription);
  const seen = collect(subscription);
  const { error } = await until("waiting", "open");
  assert.deepEqual([error?.kind, error?.message], ["unavailable", "unavailable: the log is away"]);
  assert.deepEqual(datas(await seen.count(1)), [1]);
  assert.deepEqual(server.requests.map(({ headers }) => headers.accept), Array(5).fill("text/event-stream"));
});

test("the end of a topic without a place leaves the cursor where it was", async (t) => {
  const server = await script(t, events(begin(), block(1), "event: tidings.end\ndata: {}\n\n"));
  const subscription = connect(server.url);
  const seen = collect(subscription);
  await states(subscription).until("ended");
  assert.deepEqual([datas(seen.seen), subscription.cursor], [[1], "aaaaaa-1"]);
});

test("one byte order mark is none of the text, and a second one is", async (t) => {
  const server = await script(t, ended(`\ufeffid: aaaaaa-1\n\n`), events(`\ufeff\ufeffid: aaaaaa-7\n\n${block(2)}`));
  const subscription = connect(server.url, { transports: ["sse"] });
  t.after(subscription.close);
  const cursors = [];
  subscription.on("state", ({ status }) => status === "open" && cursors.push(subscription.cursor));
  await collect(subscription).count(1);
  assert.equal(server.requests[1].query.get("lastEventId"), "aaaaaa-1");
  // With two, the first line is no id.
  assert.deepEqual(cursors, ["aaaaaa-1", "aaaaaa-1"]);
});

for (const [what, piece] of [
  ["data that is not JSON", "id: aaaaaa-2\ndata: {\n\n"],
  ["JSON that is no event", "id: aaaaaa-2\ndata: 7\n\n"],
  ["a gap that is none", "id: aaaaaa-2\nevent: tidings.gap\ndata: null\n\n"],
]) {
  test(`${what} is never passed over`, async (t) => {
    const server = await script(t, events(begin(), block(1), piece, block(3)), events(begin(1), block(2), block(3)));
    const subscription = connect(server.url, { since: "earliest", transports: ["sse"] });
    t.after(subscription.close);
    const { until } = states(subscription);
    const seen = collect(subscription);
    const { error } = await until("waiting");
    assert.equal(error.kind, "malformed");
    assert.equal(subscription.cursor, "aaaaaa-1");
    assert.deepEqual(datas(await seen.count(3)), [1, 2, 3]);
    assert.equal(server.requests[1].query.get("lastEventId"), "aaaaaa-1");
  });
}

for (const [what, answer] of [
  ["data that is not JSON", { events: "{" }],
  ["an event without an id", { events: [{ data: 1 }] }],
  ["no cursor", { next: null }],
  ["a cursor that is no text", { next: 7 }],
  ["an event whose id is no text", { events: [{ id: {}, data: 1 }] }],
]) {
  test(`a page with ${what} is never passed over`, async (t) => {
    const server = await script(t, page(answer), page({ events: [event(1)], next: "aaaaaa-1" }));
    const subscription = connect(server.url, { transports: ["poll"], interval: 10 });
    t.after(subscription.close);
    const { until } = states(subscription);
    const seen = collect(subscription);
    assert.equal((await until("waiting")).error.kind, "malformed");
    await seen.count(1);
  });
}

for (const [what, start] of [
  ["data", "data: "],
  ["a field that is none", "x"],
  ["a comment", ": "],
]) {
  test(`a line of ${what} without an end is given up`, async (t) => {
    const server = await script(t, (response) => {
      events(begin(), start)(response);
      const more = () => response.destroyed || response.write("x".repeat(65_536), more);
      more();
    });
    const { error } = await first(t, server.url, "waiting", { transports: ["sse"], maxEventSize: 1_000_000 });
    assert.equal(error.kind, "malformed");
    assert.match(error.message, /large/);
  });
}

test("a problem that comes a byte at a time is not waited for for ever", async (t) => {
  let sent = 0;
  const server = await script(t, (response) => {
    response.writeHead(503, { "content-type": "application/problem+json" });
    const more = () => response.write(" ") && sent++;
    response.on("close", () => clearInterval(timer));
    const timer = setInterval(more, 500);
    more();
  });
  const { error } = await first(t, server.url, "waiting");
  assert.equal(error.kind, "late");
  assert.ok(sent > 1);
});

test("an answer to a poll without an end is given up", async (t) => {
  const server = await script(t, (response) => {
    response.writeHead(200, { "content-type": "application/json" });
    const more = () => response.destroyed || response.write(" ".repeat(65_536), more);
    more();
  });
  const { error } = await first(t, server.url, "waiting", { transports: ["poll"], maxEventSize: 1_000_000 });
  assert.equal(error.kind, "malformed");
});

test("an event that is cut off is not taken, and comes again", async (t) => {
  const server = await script(t, ended(begin(), block(1), block(2).slice(0, 40)), events(begin(1), block(2)));
  const subscription = connect(server.url, { since: "earliest", transports: ["sse"] });
  t.after(subscription.close);
  assert.deepEqual(datas(await collect(subscription).count(2)), [1, 2]);
  assert.equal(server.requests[1].query.get("lastEventId"), "aaaaaa-1");
});

test("a server that accepts and says nothing is not waited for for ever", async (t) => {
  const sockets = new Set();
  const server = createServer((socket) => sockets.add(socket)).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const url = `http://127.0.0.1:${server.address().port}/topics/t`;
  const { error } = await first(t, url, "waiting", { transports: ["sse"], heartbeat: 100 });
  assert.equal(error.kind, "stalled");
});

test("a stream that falls silent is left for a new one", async (t) => {
  const server = await script(t, events(begin(), block(1)), events(begin(1), block(2)));
  const subscription = connect(server.url, { since: "earliest", transports: ["sse"], heartbeat: 100 });
  t.after(subscription.close);
  const { until } = states(subscription);
  const seen = collect(subscription);
  assert.equal((await until("waiting")).error.kind, "silent");
  assert.deepEqual(datas(await seen.count(2)), [1, 2]);
});

test("a stream that does not begin is followed by polls from the same cursor, and tried again later", async (t) => {
  const server = await script(t, (response, { headers, query }) => {
    if (headers.accept === "text/event-stream") {
      if (server.requests.length < 5) nothing();
      else events(begin(2), block(3))(response);
    } else if (query.get("lastEventId") === "aaaaaa-2") page({ next: "aaaaaa-2" })(response);
    else page({ events: [event(1), event(2)], next: "aaaaaa-2" })(response);
  });
  const subscription = connect(server.url, { since: "earliest", firstByte: 50, climbAfter: 200, wait: 10 });
  t.after(subscription.close);
  const { until } = states(subscription);
  const seen = collect(subscription);
  const { error, retryIn } = await until("waiting");
  assert.deepEqual([error.kind, retryIn], ["stalled", 0]);
  assert.equal((await until("open")).transport, "long-poll");
  assert.deepEqual(datas(await seen.count(3)), [1, 2, 3]);
  while ((await until("open")).transport !== "sse");
});

test("where the hub advises a stream, it is tried again before its time, once", async (t) => {
  let streams = 0;
  const server = await script(t, (response, { headers, query }) => {
    const next = +(query.get("lastEventId") ?? "aaaaaa-0").split("-")[1] + 1;
    if (headers.accept === "text/event-stream") streams++;
    else page({ events: [event(next)], next: `aaaaaa-${next}`, advice: { transport: "stream", detail: "12 events came" } })(response);
  });
  const subscription = connect(server.url, { since: "earliest", firstByte: 500, wait: 10 });
  t.after(subscription.close);
  const { seen } = states(subscription);
  await collect(subscription).count(30);
  // The first, and the one that was advised; that failed as well, so it is not followed again.
  assert.equal(streams, 2);
  assert.deepEqual(seen.filter(({ error }) => error).map(({ error }) => error.kind), ["stalled", "stalled"]);

  const others = [undefined, null, "stream", {}, { transport: 7 }, { transport: "carrier pigeon" }].map(async (advice) => {
    let next = 0;
    let streams = 0;
    const server = await script(t, (response, { headers }) => {
      if (headers.accept === "text/event-stream") streams++;
      else page({ events: [event(++next)], next: `aaaaaa-${next}`, advice })(response);
    });
    const other = connect(server.url, { since: "earliest", firstByte: 500, wait: 10 });
    t.after(other.close);
    await collect(other).count(10);
    assert.equal(streams, 1);
  });
  await Promise.all(others);
});

test("headers without a body are no stream that began", async (t) => {
  const server = await script(t, (response, { headers }) => {
    if (headers.accept === "text/event-stream") {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.flushHeaders();
    } else page({ events: [event(1)], next: "aaaaaa-1" })(response);
  });
  const subscription = connect(server.url, { firstByte: 50, wait: 10 });
  t.after(subscription.close);
  await collect(subscription).count(1);
});

for (const status of [429, 503]) {
  test(`${status} is obeyed where it names a time`, async (t) => {
    const server = await script(t, problem(status, "later", { "retry-after": "1" }), events(begin(), block(1)));
    const subscription = connect(server.url);
    t.after(subscription.close);
    const { until } = states(subscription);
    const seen = collect(subscription);
    const { error, retryIn } = await until("waiting");
    assert.deepEqual([error.kind, error.status, error.problem.detail], ["unavailable", status, "later"]);
    assert.ok(retryIn >= 1_000, `${retryIn}`);
    await seen.count(1);
    const [before, after] = server.requests;
    assert.ok(after.at - before.at >= 990, "it was asked again too early");
    assert.equal(after.headers.accept, "text/event-stream");
  });
}

test("Retry-After may be a date, and what it is not is as if it were not there", async (t) => {
  const soon = new Date(Date.now() + 100_000).toUTCString();
  for (const [field, from, to] of [[soon, 90_000, 101_000], ["soon", 0, 1_000], ["-5", 0, 1_000], ["9".repeat(30), 3_600_000, 3_601_000]]) {
    const server = await script(t, problem(503, "later", { "retry-after": field }));
    const { retryIn } = await first(t, server.url, "waiting");
    assert.ok(retryIn >= from && retryIn <= to, `${field}: ${retryIn}`);
  }
});

test("a refusal ends the subscription with what the hub said", async (t) => {
  const hub = await Hub.start(t);
  const { error } = await first(t, hub.topic("a?since=yesterday"), "failed");
  assert.deepEqual([error.kind, error.status], ["refused", 400]);
  assert.match(error.message, /since|yesterday/);
});

for (const status of [401, 403]) {
  test(`${status} asks for another token, once`, async (t) => {
    let asked = 0;
    const token = async () => `token-${++asked}`;
    const server = await script(
      t,
      problem(status, "expired"),
      ended(begin(), block(1)),
      problem(status, "expired"),
      events(begin(), block(2)),
    );
    const subscription = connect(server.url, { token, transports: ["sse"], since: "earliest" });
    t.after(subscription.close);
    assert.deepEqual(datas(await collect(subscription).count(2)), [1, 2]);
    assert.deepEqual(
      server.requests.map(({ headers }) => headers.authorization),
      ["Bearer token-1", "Bearer token-2", "Bearer token-3", "Bearer token-4"],
    );

    const stubborn = await script(t, problem(status, "not yours"));
    const { error } = await first(t, stubborn.url, "failed", { token });
    assert.deepEqual([error.kind, error.status, error.problem.detail], ["refused", status, "not yours"]);
    assert.equal(stubborn.requests.length, 2);

    const fixed = await script(t, problem(status, "not yours"));
    await first(t, fixed.url, "failed", { token: "fixed" });
    assert.equal(fixed.requests.length, 1);
  });
}

test("a token that cannot be had, or cannot be sent, is a state like others", async (t) => {
  const server = await script(t, events(begin(), block(1)));
  let asked = 0;
  const token = () => {
    asked++;
    if (asked === 1) throw new Error("no session");
    return asked === 2 ? "two\nlines" : "good";
  };
  const subscription = connect(server.url, { token });
  t.after(subscription.close);
  const { until } = states(subscription);
  const seen = collect(subscription);
  const { error } = await until("waiting");
  assert.equal(error.kind, "token");
  assert.match(error.message, /no session/);
  assert.equal((await until("waiting")).error.kind, "token");
  await seen.count(1);
  assert.equal(server.requests[0].headers.authorization, "Bearer good");
});

test("a supplier of tokens that never answers is not waited for for ever, nor holds up close", async (t) => {
  const server = await script(t, events(begin()));
  const { error } = await first(t, server.url, "waiting", {
    token: () => new Promise(nothing),
    transports: ["sse"],
    heartbeat: 100,
  });
  assert.equal(error.kind, "stalled");
  assert.equal(server.requests.length, 0);
});

test("a hub that answers long polls at once with nothing is not asked in a spin", async (t) => {
  const server = await script(t, page({ next: "aaaaaa-1", more: true }));
  const subscription = connect(server.url, { transports: ["long-poll"] });
  t.after(subscription.close);
  await states(subscription).until("open");
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.ok(server.requests.length <= 3, `${server.requests.length} requests in half a second`);
});
