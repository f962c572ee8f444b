// The WebSocket among the transports: what a hub does not do, but what stands between does, and what the client sends.

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, publish } from "tidings";
import { websocket } from "tidings/websocket";
import { WebSocket } from "ws";
import { event, page, problem, script } from "./support/script.js";
import { socket, sockets, subscribed } from "./support/sockets.js";
import { collect, datas, states } from "./support/wait.js";

// Rests are short; how long they are is tested elsewhere.
const { random } = Math;
Math.random = () => random() / 20;

const nothing = () => {};
const says = (...messages) => ({ say }) => messages.forEach(say);
const closes = (code, reason, ...messages) => (connection) => {
  says(...messages)(connection);
  connection.peer.close(code, reason);
};
const refused = (status, more = {}) => ({ problem: { type: "urn:tidings:x", title: "x", status, detail: "no" }, ...more });

/** Subscribes by WebSocket alone. */
function open(t, url, options) {
  const subscription = connect(url, { transports: [socket()], since: "earliest", ...options });
  t.after(subscription.close);
  return { subscription, ...states(subscription), events: collect(subscription) };
}

test("it asks as a stream does, says who it is in its first message, and is open with the first cursor", async (t) => {
  const server = await sockets(t, [nothing]);
  const { until, seen } = open(t, `${server.url}?event=tick`, { token: async () => "secret", heartbeat: 20_000, headers: { "X-A": "b" } });
  const [connection] = await server.until(([first]) => first?.heard[0]);
  assert.deepEqual(connection.heard, [{ token: "secret" }]);
  assert.deepEqual(
    ["event", "since", "heartbeat", "lastEventId"].map((name) => connection.query.get(name)),
    ["tick", "earliest", "20", null],
  );
  assert.ok(!connection.url.includes("secret"));
  assert.equal(connection.headers["sec-websocket-protocol"], "tidings.v1");
  assert.deepEqual(seen.map(({ status, transport }) => [status, transport]).at(-1), ["connecting", "websocket"]);
  connection.say(subscribed());
  assert.equal((await until("open")).transport, "websocket");
});

test("what a later hub may say is passed over, and the end of the topic ends it", async (t) => {
  const server = await sockets(t, [says(subscribed(), { weather: "fine" }, event(1), { next: "aaaaaa-4" }, { sub: "x", subscribed: "x" }, event(5), { end: { id: "aaaaaa-5" } })]);
  const { subscription, until, events } = open(t, server.url);
  await until("ended");
  assert.deepEqual([datas(events.seen), subscription.cursor], [[1, 5], "aaaaaa-5"]);
  const [{ closed }] = await server.until(([first]) => first.closed);
  assert.ok(closed);
});

test("the end of a topic without a place leaves the cursor where it was", async (t) => {
  const server = await sockets(t, [says(subscribed(), event(1), { end: {} })]);
  const { subscription, until } = open(t, server.url);
  await until("ended");
  assert.equal(subscription.cursor, "aaaaaa-1");
});

test("a gap is told before what follows it, and the cursor is that of the gap", async (t) => {
  const gap = { reason: "expired", since: "aaaaaa-1", resumed: "aaaaaa-6" };
  const server = await sockets(t, [closes(1001, "", { subscribed: "" }, { gap }), says(subscribed(6), event(7))]);
  const { subscription } = open(t, server.url, { cursor: "aaaaaa-1" });
  const told = [];
  subscription.on("gap", (gap) => told.push(gap));
  subscription.on("*", ({ data }) => told.push(data));
  await collect(subscription).count(1);
  assert.deepEqual(told, [gap, 7]);
  assert.deepEqual(server.connections.map(({ query }) => query.get("lastEventId")), ["aaaaaa-1", "aaaaaa-6"]);
});

for (const [what, answer] of [
  ["is refused", problem(400, "no WebSocket here")],
  ["is answered as if it were none", page({})],
  ["is cut off", (response) => response.destroy()],
]) {
  test(`a WebSocket that ${what} is followed at once by the next transport, from the same cursor`, async (t) => {
    const server = await script(t, (response, { headers, query }) => {
      if (headers.upgrade) answer(response);
      else page({ events: query.get("lastEventId") ? [] : [event(1)], next: "aaaaaa-1" })(response);
    });
    const subscription = connect(server.url, { transports: [socket(), "long-poll"], since: "earliest", wait: 10 });
    t.after(subscription.close);
    const { until } = states(subscription);
    const events = collect(subscription);
    const { error, retryIn, transport } = await until("waiting");
    assert.deepEqual([error.kind, retryIn, transport], ["stalled", 0, "websocket"]);
    assert.equal((await until("open")).transport, "long-poll");
    assert.deepEqual(datas(await events.count(1)), [1]);
  });
}

test("a handshake that is never answered, and a socket that says nothing, are not waited for for ever", async (t) => {
  const server = await script(t, (response, { headers }) => headers.upgrade || page({})(response));
  for (const { url } of [server, await sockets(t, [nothing], (_, response) => page({})(response))]) {
    const { until } = open(t, url, { transports: [socket(), "poll"], firstByte: 50 });
    assert.equal((await until("waiting")).error.kind, "stalled");
    assert.equal((await until("open")).transport, "poll");
  }
});

test("a runtime without a WebSocket goes on by the next transport", { skip: !!globalThis.WebSocket }, async (t) => {
  const server = await script(t, page({ events: [event(1)], next: "aaaaaa-1" }));
  const { until, events } = open(t, server.url, { transports: [websocket(), "poll"] });
  assert.match((await until("waiting")).error.message, /WebSocket is not defined/);
  await events.count(1);
});

test("a socket that falls silent is left for a new one, and a heartbeat is a sign of life", async (t) => {
  let beating;
  const server = await sockets(t, [
    (connection) => {
      says(subscribed(), event(1))(connection);
      // The watchdog waits for 2.5 s: with heartbeats for longer, and then no more.
      let left = 3;
      beating = setInterval(() => (left-- ? connection.say({ next: "aaaaaa-1" }) : clearInterval(beating)), 1_000);
    },
    says(subscribed(1), event(2)),
  ]);
  t.after(() => clearInterval(beating));
  const began = performance.now();
  const { until, events } = open(t, server.url, { heartbeat: 100 });
  assert.equal((await until("waiting")).error.kind, "silent");
  assert.ok(performance.now() - began >= 3_000, "a heartbeat counted for nothing");
  assert.deepEqual(datas(await events.count(2)), [1, 2]);
  assert.equal(server.connections[1].query.get("lastEventId"), "aaaaaa-1");
});

for (const [what, message, options] of [
  ["text that is not JSON", "{"],
  ["JSON that is no object", "null"],
  ["an event without an id", { topic: "t", data: 2 }],
  ["an event whose id is no text", { ...event(2), id: 7 }],
  ["a cursor that is no text", { next: 7 }],
  ["a gap that is none", { gap: true }],
  ["bytes", Buffer.from("bytes")],
  ["an event that is too large", event(2, "x".repeat(2_000)), { maxEventSize: 1_000 }],
]) {
  test(`${what} is never passed over`, async (t) => {
    const server = await sockets(t, [
      (connection) => {
        says(subscribed(), event(1))(connection);
        if (Buffer.isBuffer(message)) connection.peer.send(message);
        else connection.say(message);
        connection.say(event(3));
      },
      says(subscribed(1), event(2), event(3)),
    ]);
    const { subscription, until, events } = open(t, server.url, options);
    const { error } = await until("waiting");
    assert.equal(error.kind, "malformed");
    assert.equal(subscription.cursor, "aaaaaa-1");
    assert.deepEqual(datas(await events.count(3)), [1, 2, 3]);
    assert.equal(server.connections[1].query.get("lastEventId"), "aaaaaa-1");
  });
}

for (const [what, script, expected] of [
  ["a hub that shuts down", closes(1001, "come back in 300 ms", subscribed()), { kind: "ended", message: "ended: come back in 300 ms", retryAfter: 300 }],
  ["a clean end", closes(1000, "", subscribed()), { kind: "ended" }],
  ["an overload", closes(1013, "later", subscribed()), { kind: "unavailable", message: "unavailable: later" }],
  ["a break", ({ peer }) => peer.terminate(), { kind: "broken" }],
  ["a message that was too large", closes(1009, "too large", subscribed()), { kind: "broken", message: "broken: too large" }],
  ["too many connections", closes(4429, "too many"), { kind: "unavailable", status: 429, message: "unavailable: 429, too many" }],
  ["no token in time", closes(4408, "no token"), { kind: "unavailable", status: 408 }],
  ["trouble of the hub", says(refused(503)), { kind: "unavailable", status: 503, message: "unavailable: 503, no" }],
]) {
  test(`${what} is waited out`, async (t) => {
    const server = await sockets(t, [script, says(subscribed(), event(1))]);
    const { until, events } = open(t, server.url);
    const { error, retryIn } = await until("waiting");
    for (const [name, value] of Object.entries(expected)) assert.equal(error[name], value, name);
    assert.ok(retryIn >= (expected.retryAfter ?? 0));
    assert.deepEqual(datas(await events.count(1)), [1]);
  });
}

for (const [what, script, status] of [
  ["a mistake in a close code", closes(4400, "no such selector"), 400],
  ["a mistake in a problem", says(refused(400, { sub: "" })), 400],
  ["a refusal in a close code", closes(4403, "not yours"), 403],
]) {
  test(`${what} ends it with what the hub said`, async (t) => {
    const server = await sockets(t, [script]);
    const { error } = await open(t, server.url, { token: "fixed" }).until("failed");
    assert.deepEqual([error.kind, error.status], ["refused", status]);
    assert.match(error.message, /no such selector|no|not yours/);
    assert.equal(server.connections.length, 1);
  });
}

for (const [what, fail] of [["a close code", closes(4401, "expired")], ["a problem", says(refused(401))]]) {
  test(`a token that is refused by ${what} is followed by another, once`, async (t) => {
    let asked = 0;
    const token = async () => `token-${++asked}`;
    const server = await sockets(t, [fail, closes(1001, "", subscribed(), event(1)), fail, says(subscribed(), event(2))]);
    const { events } = open(t, server.url, { token });
    assert.deepEqual(datas(await events.count(2)), [1, 2]);
    const shown = await server.until((all) => all.every(({ heard }) => heard.length));
    assert.deepEqual(shown.map(({ heard }) => heard[0].token), ["token-1", "token-2", "token-3", "token-4"]);

    const stubborn = await sockets(t, [fail]);
    const { error } = await open(t, stubborn.url, { token }).until("failed");
    assert.deepEqual([error.kind, error.status], ["refused", 401]);
    assert.equal(stubborn.connections.length, 2);
  });
}

test("a token is renewed in the socket before it ends, also where the first try gives the same, or fails", async (t) => {
  let asked = 0;
  const token = async () => {
    asked++;
    if (asked === 3) throw new Error("no session");
    return asked < 3 ? "first" : `later-${asked}`;
  };
  const server = await sockets(t, [
    (connection) => {
      connection.say(subscribed());
      // So long is each good for: shorter than this test, and long enough for a busy machine.
      connection.on = ({ token }) => token && connection.say({ token: { until: new Date(Date.now() + (token === "first" ? 1_000 : 3_600_000)).toISOString() } });
    },
  ]);
  const { seen } = open(t, server.url, { token });
  await server.until(([first]) => first?.heard.length >= 2);
  assert.deepEqual(server.connections[0].heard, [{ token: "first" }, { token: "first" }]);
  // The third ask fails, and the hub says again until when the token is good, as after any message of the kind.
  server.connections[0].say({ token: { until: new Date(Date.now() + 500).toISOString() } });
  server.connections[0].say({ token: { until: new Date(Date.now() + 500).toISOString() } });
  while (asked < 3) await new Promise(setImmediate);
  server.connections[0].say({ token: { until: new Date(Date.now() + 500).toISOString() } });
  await server.until(([first]) => first.heard.length >= 3);
  assert.deepEqual(server.connections[0].heard.at(-1), { token: "later-4" });
  assert.equal(server.connections.length, 1);
  assert.ok(!seen.some(({ status }) => status === "waiting"));
});

test("a token that is fixed, or one whose end is not told, is shown once", async (t) => {
  for (const [token, answer] of [["fixed", { token: { until: new Date(Date.now() + 200).toISOString() } }], [async () => "x", { token: {} }]]) {
    const server = await sockets(t, [
      (connection) => {
        connection.on = () => connection.say(answer);
        connection.say(subscribed());
      },
    ]);
    const { events } = open(t, server.url, { token });
    await server.until(([first]) => first?.heard.length);
    await new Promise((resolve) => setTimeout(resolve, 400));
    server.connections[0].say(event(1));
    await events.count(1);
    assert.equal(server.connections[0].heard.length, 1);
  }
});

test("a supplier of tokens that never answers is not waited for for ever", async (t) => {
  const server = await sockets(t, [nothing]);
  const { until } = open(t, server.url, { token: () => new Promise(nothing), heartbeat: 100 });
  assert.equal((await until("waiting")).error.kind, "stalled");
  assert.equal(server.connections.length, 0);
});

test("a loop that is slow bounds what the client holds, and has every event in the end", async (t) => {
  const total = 200;
  // 20 KB each: far more than the client and the system between them hold.
  const data = "x".repeat(20_000);
  const server = await sockets(t, [
    ({ query, say, peer }) => {
      let next = +(query.get("lastEventId") ?? "aaaaaa-0").split("-")[1];
      say(subscribed(next));
      const more = () => {
        while (next < total && peer.readyState === 1 && peer.bufferedAmount < 100_000) say(event(++next, [next, data]));
        if (next < total && peer.readyState === 1) setImmediate(more);
      };
      more();
    },
  ]);
  const subscription = connect(server.url, { transports: [socket()], since: "earliest" });
  const pulled = [];
  for await (const { data } of subscription) {
    if (pulled.push(data[0]) === 1) {
      // As slow as it takes for the client to have enough.
      await server.until(([first]) => first.closed);
    }
    if (pulled.length === total) break;
  }
  assert.deepEqual(pulled, Array.from({ length: total }, (_, n) => n + 1));
  const asked = server.connections.map(({ query }) => +(query.get("lastEventId") ?? "-0").split("-")[1]);
  assert.ok(asked.length > 1 && asked.length < total / 20, `${asked}`);
  // It was given up for nothing that counts as a failure.
  assert.equal(subscription.state.status, "closed");
});

test("pause and close leave no connection behind, also while it is being made", async (t) => {
  const server = await sockets(t, [says(subscribed())]);
  const { subscription, until } = open(t, server.url);
  await until("open");
  subscription.pause();
  await server.until(([first]) => first.closed);
  subscription.resume();
  await until("open");
  subscription.close();
  await server.until((all) => all[1]?.closed);
  const early = connect(server.url, { transports: [socket()] });
  await new Promise(setImmediate);
  early.close();
  const { subscription: last, until: untilLast } = open(t, server.url);
  await untilLast("open");
  last.close();
  await server.until((all) => all.every(({ closed }) => closed));
});

// Publishing.

const receipt = (status) => (response) => {
  response.writeHead(status, { "content-type": "application/json" });
  response.end('{"id":"aaaaaa-9","topic":"a b","time":"2026-11-24T00:00:00Z"}');
};

/** A server whose sockets are answered as `answer` says, and what came to it over HTTP. */
async function hub(t, answer = ({ ref }) => ({ published: { id: `aaaaaa-${ref}`, time: "2026-11-24T00:00:00Z" }, ref }), status = 201) {
  const posted = [];
  const server = await sockets(
    t,
    [
      (connection) => {
        connection.say(subscribed());
        connection.on = (message) => message.publish && answer && connection.say(answer(message));
      },
    ],
    (request, response) => {
      let body = "";
      request.on("data", (piece) => (body += piece));
      request.on("end", () => {
        posted.push({ url: request.url, key: request.headers["idempotency-key"], body });
        receipt(status)(response);
      });
    },
  );
  const transport = socket();
  const { until } = open(t, server.url, { transports: [transport] });
  await until("open");
  return { ...server, socket: transport, posted, peer: server.connections[0] };
}

test("what is published through a socket is what would be published over HTTP, acknowledged each by itself", async (t) => {
  const { origin, socket, posted, peer } = await hub(t);
  const url = `${origin}/topics/a%20b`;
  const published = await Promise.all([
    publish(url, "text\n", { socket, event: "tick", idempotencyKey: "k-1" }),
    publish(`${url}?event=tock`, { price: 1 }, { socket }),
    publish(url, new Uint8Array([255, 0]), { socket }),
    publish(url, '{"n":12345678901234567890,"m":1.10}', { socket, json: true }),
  ]);
  assert.deepEqual(published.map(({ id, topic, repeated }) => [id, topic, repeated]), [1, 2, 3, 4].map((n) => [`aaaaaa-${n}`, "a b", false]));
  assert.deepEqual(posted, []);
  const sent = peer.heard.map(({ publish }) => publish);
  assert.deepEqual(sent.map(({ topic, data, event, encoding }) => [topic, data, event ?? null, encoding]), [
    ["a b", "text\n", "tick", undefined],
    ["a b", { price: 1 }, "tock", undefined],
    ["a b", "/wA=", null, "base64"],
    ["a b", { n: 12345678901234567890, m: 1.1 }, null, undefined],
  ]);
  assert.equal(sent[0].key, "k-1");
  assert.equal(new Set(sent.map(({ key }) => key)).size, 4);
});

for (const [what, path, data, options] of [
  ["the end of a topic", "topics/a", "x", { close: true }],
  ["the end of a topic, by its URL", "topics/a?close=true", "x"],
  ["a topic that URLs cannot name", "topics/a%2F..%2Fb", "x"],
  ["a topic that cannot be read", "topics/%ff", "x"],
  ["JSON that is a string", "topics/a", '"x"', { json: true }],
  ["JSON with blanks around it", "topics/a", " 1 ", { json: true }],
  ["a date", "topics/a", new Date(0)],
  ["half a character", "topics/a", "\ud800"],
  ["a large event", "topics/a", "x".repeat(100_000)],
  ["several topics", "events", [], {}],
]) {
  test(`${what} is published over HTTP`, async (t) => {
    const { origin, socket, posted, peer } = await hub(t);
    await publish(`${origin}/${path}`, data, { socket, ...options });
    assert.equal(posted.length, 1);
    assert.deepEqual(peer.heard, []);
  });
}

test("another hub, and one behind another prefix, is published to over HTTP", async (t) => {
  const { origin, socket, posted, peer } = await hub(t);
  const other = await script(t, receipt(201));
  await publish(other.url, "x", { socket });
  assert.equal(other.requests.length, 1);
  await publish(`${origin}/prefix/topics/a`, "x", { socket });
  assert.deepEqual(posted.map(({ url }) => url), ["/prefix/topics/a"]);
  assert.deepEqual(peer.heard, []);
});

test("where no socket is open, it is published over HTTP", async (t) => {
  const server = await script(t, receipt(201));
  const transport = socket();
  await publish(server.url, "x", { socket: transport });
  assert.equal(server.requests.length, 1);
  const { origin, socket: used, posted, peer } = await hub(t);
  peer.peer.terminate();
  await publish(`${origin}/topics/a`, "x", { socket: used });
  assert.ok(posted.length === 1 || peer.heard.length === 0);
});

test("an acknowledgement that does not come is asked for over HTTP, under the same key", async (t) => {
  const { origin, socket, posted, peer, until } = await hub(t, null, 200);
  const published = publish(`${origin}/topics/a`, "x", { socket });
  await until(([first]) => first.heard.length);
  peer.peer.terminate();
  assert.equal((await published).repeated, true);
  assert.deepEqual(posted, [{ url: "/topics/a", key: peer.heard[0].publish.key, body: "x" }]);
});

test("what the hub refuses is told, and the socket stays", async (t) => {
  const { origin, socket, posted, peer, connections } = await hub(t, ({ ref }) => refused(409, { ref }));
  await assert.rejects(publish(`${origin}/topics/a`, "x", { socket }), { kind: "refused", status: 409 });
  await assert.rejects(publish(`${origin}/topics/a`, "x", { socket, retryFor: 0 }), { kind: "refused", status: 409 });
  assert.deepEqual([posted.length, peer.heard.length, connections.length], [0, 2, 1]);
});

test("a hub that cannot take it now, or a token that ended, is followed by another attempt over HTTP", async (t) => {
  for (const [status, options] of [[503, {}], [401, { token: () => "another" }]]) {
    const { origin, socket, posted } = await hub(t, ({ ref }) => refused(status, { ref }));
    await publish(`${origin}/topics/a`, "x", { socket, ...options });
    assert.equal(posted.length, 1);
    await assert.rejects(publish(`${origin}/topics/a`, "x", { socket, retryFor: 0 }), { status });
  }
});

test("an acknowledgement that the hub repeats from before says so", async (t) => {
  const { origin, socket } = await hub(t, ({ ref }) => ({ published: { id: "aaaaaa-1", time: "x", repeated: true }, ref }));
  assert.equal((await publish(`${origin}/topics/a`, "x", { socket })).repeated, true);
});
