// What can only be a mistake of the caller is told at once, and what the caller gives never unsettles the client.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { connect, publish, TidingsError } from "tidings";
import { Span } from "../dist/span.js";
import { Hub } from "./support/hub.js";
import { begin, block, event, events, page, script } from "./support/script.js";
import { transports } from "./support/sockets.js";
import { collect, datas, states } from "./support/wait.js";

const url = "http://127.0.0.1:1/topics/a";

for (const [what, at, options, words] of [
  ["no transport", url, { transports: [] }, /sse,long-poll,poll/],
  ["an unknown transport", url, { transports: ["sse", "websocket"] }, /sse,long-poll,poll/],
  ["an interval that is no number", url, { interval: NaN }, /interval/],
  ["a negative time", url, { wait: -1 }, /wait/],
  ["a buffer that is no number", url, { buffer: "many" }, /buffer/],
  ["a time that is a text", url, { interval: "5" }, /interval/],
  ["a transport that is a text", url, { transports: "sse" }, /transports/],
  ["a parser that is no function", url, { parse: {} }, /parse/],
  ["a `fetch` that is no function", url, { fetch: {} }, /fetch/],
  ["a header that cannot be sent", url, { headers: { "a b": "c" } }, /./],
  ["a header with a line break", url, { headers: { a: "b\r\nc: d" } }, /./],
  ["a token that cannot be sent", url, { token: "two\nlines" }, /visible ASCII/],
  ["a token in other letters", url, { token: "\u00fc" }, /visible ASCII/],
  ["credentials that are none", url, { credentials: "always" }, /./],
  ["another scheme", "ftp://hub/topics/a", {}, /ftp:/],
  ["a scheme of WebSockets", "ws://hub/topics/a", {}, /ws:/],
  ["a fragment", "http://hub/topics/a#b", {}, /%23/],
  ["a password", "http://user:secret@hub/topics/a", {}, /token/],
  ["no URL", "hub:8080:topics", {}, /hub:/],
]) {
  test(`${what} is told at once`, async () => {
    const wrong = (error) => error instanceof TypeError && words.test(error.message) && !error.message.includes("secret");
    assert.throws(() => connect(at, options), wrong);
    if (["transports", "interval", "wait", "buffer", "parse"].some((name) => name in options)) return;
    await assert.rejects(publish(at, "x", options), wrong);
  });
}

test("options that are undefined are as if they were not there", async (t) => {
  const server = await script(t, events(begin(), block(1)));
  const nothing = Object.fromEntries(
    ["transports", "heartbeat", "firstByte", "wait", "interval", "buffer", "maxEventSize", "headers", "credentials", "fetch", "store", "parse", "token"].map((name) => [name]),
  );
  const subscription = connect(server.url, nothing);
  t.after(subscription.close);
  assert.deepEqual(datas(await collect(subscription).count(1)), [1]);
  assert.equal(server.requests[0].query.get("heartbeat"), "15");
});

test("no timer is longer than timers can be", (t) => {
  const rests = [];
  t.mock.method(globalThis, "setTimeout", (_, time) => rests.push(time));
  for (const patience of [1_000, 2 ** 31 - 1, 2 ** 31, 1e15]) {
    const span = new Span();
    span.patience = patience;
    span.start();
    assert.equal(span.signal.aborted, false);
  }
  assert.deepEqual(rests.map((rest) => rest > 900 && rest <= 2 ** 31 - 1), [true, true, true, true]);
});

test("a rest beyond 31 bits is no busy loop", async (t) => {
  const server = await script(t, page({ next: "aaaaaa-1" }));
  const subscription = connect(server.url, { transports: ["poll"], interval: 2 ** 32 });
  t.after(subscription.close);
  await states(subscription).until("open");
  // Another one that polls often shows that time enough has passed.
  const other = connect(server.url, { transports: ["poll"], interval: 1 });
  t.after(other.close);
  while (server.requests.length < 20) await new Promise(setImmediate);
  const asked = server.requests.filter(({ query }) => !query.has("lastEventId")).length;
  assert.equal(asked, 2);
  other.close();
  await new Promise(setImmediate);
});

test("the caller's headers are sent, and the client's own take the place of theirs", async (t) => {
  const server = await script(t, events(begin(), block(1)));
  const headers = { "X-App": "1", ACCEPT: "text/html", authorization: "Basic x", "LAST-Event-id": "zzzzzz-9" };
  for (const [given, token, authorization] of [
    [headers, "t", "Bearer t"],
    [headers, undefined, "Basic x"],
    [new Headers(headers), "t", "Bearer t"],
    [Object.entries(headers), "t", "Bearer t"],
  ]) {
    server.requests.length = 0;
    const subscription = connect(server.url, { headers: given, token });
    await collect(subscription).count(1);
    subscription.close();
    const [{ headers: sent }] = server.requests;
    assert.deepEqual([sent["x-app"], sent.accept, sent.authorization, sent["last-event-id"]], ["1", "text/event-stream", authorization, undefined]);
  }
});

test("the headers of a publish are the client's own as well", async (t) => {
  const server = await script(t, (response) => {
    response.writeHead(201, { "content-type": "application/json" });
    response.end('{"id":"aaaaaa-1","topic":"t","time":"2026-11-24T00:00:00Z"}');
  });
  const headers = { "X-App": "1", "Content-type": "text/html", "IDEMPOTENCY-key": "mine", Accept: "text/html" };
  await publish(server.url, "x", { headers, idempotencyKey: "k" });
  const [{ headers: sent }] = server.requests;
  assert.deepEqual([sent["x-app"], sent["content-type"], sent["idempotency-key"], sent.accept], ["1", "text/plain", "k", "application/json"]);
});

test("what cannot be published is told at once", async () => {
  for (const data of [undefined, () => {}, Symbol("x"), 1n]) await assert.rejects(publish(url, data), TypeError);
  await assert.rejects(publish(url, "{", { json: true }), SyntaxError);
  // It is not tried for ever, either.
  await assert.rejects(publish(url, 1, { retryFor: NaN }), { kind: "unreachable" });
});

test("a token supplier may throw whatever it likes", async (t) => {
  const server = await script(t, events(begin(), block(1)));
  const thrown = [Object.create(null), Symbol("x"), null, undefined, 7, { cause: Symbol("y") }];
  for (const what of thrown) {
    let asked = 0;
    const subscription = connect(server.url, {
      token() {
        if (asked++) return "t";
        throw what;
      },
    });
    const { until } = states(subscription);
    const { error } = await until("waiting");
    assert.ok(error instanceof TidingsError);
    assert.equal(error.kind, "token");
    await until("open");
    subscription.close();
  }
});

test("a `fetch` of one's own may do what it likes", async (t) => {
  const answer = () => new Response(`${begin()}${block(1)}`, { headers: { "content-type": "text/event-stream" } });
  const strange = [
    () => {
      throw new Error("sync");
    },
    () => undefined,
    async () => ({}),
    async () => ({ status: 200, headers: new Headers({ "content-type": "text/event-stream" }), body: null }),
  ];
  for (const first of strange) {
    let asked = 0;
    const subscription = connect("http://hub/topics/t", { transports: ["sse"], fetch: (...request) => (asked++ ? answer() : first(...request)) });
    assert.deepEqual(datas(await collect(subscription).count(1)), [1]);
    subscription.close();
  }
});

/** Runs a program of its own, as the runner takes uncaught errors for its own. */
const run = async (program, ...args) => {
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", program, ...args], {
    cwd: new URL(".", import.meta.url).pathname,
    timeout: 60_000,
  });
  return stdout.trim().split("\n");
};

for (const [what, fail] of [
  ["throws", "() => { throw new Error('full') }"],
  ["rejects", "async () => { throw new Error('full') }"],
  ["throws what cannot be written", "() => { throw Object.create(null) }"],
]) {
  test(`a cursor store that ${what} is told as a state, and loses nothing`, async (t) => {
    const hub = await Hub.start(t);
    await hub.publish("a", "1");
    await hub.publish("a", "2");
    const lines = await run(
      `
      import { connect } from "tidings";
      const kept = [];
      let save = ${fail};
      const store = { load: () => null, save: (cursor) => save(cursor) };
      const events = connect(process.argv[1], { since: "earliest", store });
      process.on("uncaughtException", (error) => console.log("uncaught", error));
      let told = "";
      events.on("state", ({ status, storeError }) => {
        if (!storeError === !told) return;
        told = storeError ? "not kept" : "";
        console.log(told || "kept again", storeError?.kind, storeError?.message.startsWith("store:"));
        if (!storeError) return;
        save = (cursor) => kept.push(cursor);
        fetch(process.argv[1], { method: "POST", body: "3" });
      });
      events.on("*", ({ data, id }) => {
        console.log("heard", data);
        if (data === "3") setImmediate(() => {
          console.log(kept.at(-1) === id);
          events.close();
        });
      });
      `,
      hub.topic("a"),
    );
    assert.deepEqual(lines.filter((line) => line.startsWith("heard")), ["heard 1", "heard 2", "heard 3"]);
    assert.deepEqual(lines.filter((line) => !line.startsWith("heard")), ["not kept store true", "kept again undefined undefined", "true"]);
  });
}

test("a store that is slow is given the newest cursor once it has kept the last", async (t) => {
  const server = await script(t, events(block(1), block(2), block(3)));
  const given = [];
  let keep;
  const store = { load: () => null, save: (cursor) => given.push(cursor) && new Promise((resolve) => (keep = resolve)) };
  const subscription = connect(server.url, { since: "earliest", store });
  t.after(subscription.close);
  await collect(subscription).count(3);
  assert.deepEqual(given, ["aaaaaa-1"]);
  keep();
  while (given.length < 2) await new Promise(setImmediate);
  assert.deepEqual(given, ["aaaaaa-1", "aaaaaa-3"]);
});

test("a store that is slow is not given the cursor of an event that somebody is still busy with", async (t) => {
  const server = await script(t, events(block(1), block(2), block(3)));
  const given = [];
  const keep = [];
  const store = { load: () => null, save: (cursor) => given.push(cursor) && new Promise((resolve) => keep.push(resolve)) };
  const subscription = connect(server.url, { since: "earliest", store });
  let busy;
  const pulled = [];
  (async () => {
    for await (const { data } of subscription) {
      pulled.push(data);
      await new Promise((resolve) => (busy = resolve));
    }
  })();
  const until = async (holds) => {
    while (!holds()) await new Promise(setImmediate);
  };
  await until(() => pulled.length === 1);
  busy();
  await until(() => pulled.length === 2);
  assert.deepEqual(given, ["aaaaaa-1"]);
  keep.shift()();
  await new Promise(setImmediate);
  assert.deepEqual(given, ["aaaaaa-1"]);
  busy();
  await until(() => pulled.length === 3);
  assert.deepEqual(given, ["aaaaaa-1", "aaaaaa-2"]);
  subscription.close();
  busy();
});

test("numbers that JavaScript cannot hold are read by a parser of one's own, and published as they are", async (t) => {
  const hub = await Hub.start(t);
  const text = '{"n":12345678901234567890,"m":1.10}';
  assert.match((await publish(hub.topic("a"), text, { json: true, event: "tick" })).id, /-1$/);
  for (const [name, transport] of Object.entries(transports)) {
    const given = [];
    const parse = (text) => {
      given.push(text);
      return JSON.parse(text.replace(/"n":(\d+)/, '"n":"$1"'));
    };
    const subscription = connect(hub.topic("a"), { since: "earliest", transports: [transport], parse });
    const [{ data, event }] = await collect(subscription).count(1);
    subscription.close();
    assert.deepEqual([event, data], ["tick", { n: "12345678901234567890", m: 1.1 }]);
    assert.ok(given.some((given) => given.includes(text)), name);
  }
});

test("a parser that throws passes nothing over, and ends nothing", async (t) => {
  const server = await script(t, events(begin(), block(1)));
  let parsed = 0;
  const parse = (text) => {
    if (parsed++) return JSON.parse(text);
    throw new Error("not today");
  };
  const subscription = connect(server.url, { since: "earliest", transports: ["sse"], parse });
  t.after(subscription.close);
  const { error } = await states(subscription).until("waiting");
  assert.deepEqual([error.kind, error.message], ["malformed", "malformed: Error: not today"]);
  assert.deepEqual(datas(await collect(subscription).count(1)), [1]);
});

test("a buffer of nothing still takes one", async (t) => {
  const server = await script(t, page({ events: [event(1), event(2)], next: "aaaaaa-2" }));
  const subscription = connect(server.url, { transports: ["poll"], buffer: 0 });
  const pulled = [];
  for await (const { data } of subscription) if (pulled.push(data) === 2) break;
  assert.deepEqual(pulled, [1, 2]);
});
