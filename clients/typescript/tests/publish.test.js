import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, publish } from "tidings";
import { Hub } from "./support/hub.js";
import { nginx } from "./support/nginx.js";
import { problem, script } from "./support/script.js";
import { collect } from "./support/wait.js";

const receipt = (status) => (response) => {
  response.writeHead(status, { "content-type": "application/json" });
  response.end('{"id":"aaaaaa-1","topic":"t","time":"2026-11-24T00:00:00Z"}');
};

test("what is published is told, and a key that is known appends nothing", async (t) => {
  const hub = await Hub.start(t);
  const options = { event: "tick", idempotencyKey: "k-1" };
  const first = await publish(hub.topic("a"), { price: 1 }, options);
  assert.match(first.id, /-1$/);
  assert.deepEqual([first.topic, first.repeated], ["a", false]);
  const again = await publish(hub.topic("a"), { price: 1 }, options);
  assert.deepEqual([again.id, again.repeated], [first.id, true]);
  await assert.rejects(publish(hub.topic("a"), { price: 2 }, options), { kind: "refused", status: 422 });
});

test("a receipt that is lost is asked for again, under the same key", async (t) => {
  const server = await script(t, (response) => response.destroy(), problem(503, "later"), receipt(200));
  const { repeated } = await publish(server.url, "x");
  assert.equal(repeated, true);
  const keys = server.requests.map(({ headers }) => headers["idempotency-key"]);
  assert.match(keys[0], /^[\d-]{7,}$/);
  assert.deepEqual(keys, [keys[0], keys[0], keys[0]]);
  const other = await script(t, receipt(201));
  await publish(other.url, "x");
  assert.notEqual(other.requests[0].headers["idempotency-key"], keys[0]);
});

test("a hub that is away is waited for, for so long", async (t) => {
  const hub = await Hub.start(t);
  await hub.kill();
  await assert.rejects(publish(hub.topic("a"), "x", { retryFor: 0 }), { kind: "unreachable" });
  const published = publish(hub.topic("a"), "x");
  await hub.resume();
  assert.match((await published).id, /-1$/);
});

test("a topic ends with an event, an empty one, or none", async (t) => {
  const hub = await Hub.start(t);
  assert.match((await publish(hub.topic("a"), "x", { close: true })).id, /-1$/);
  assert.match((await publish(hub.topic("b"), "", { close: true })).id, /-/);
  assert.equal((await publish(hub.topic("c"), undefined, { close: true })).topic, "c");
  for (const topic of ["a", "b", "c"]) {
    await assert.rejects(publish(hub.topic(topic), "y"), { kind: "refused", status: 409 });
  }
});

test("a token is asked for again where it is refused, and what is no answer of a hub is said to be none", async (t) => {
  const server = await script(t, problem(401, "expired"), receipt(201));
  let asked = 0;
  await publish(server.url, "x", { token: () => `${++asked}` });
  assert.equal(asked, 2);
  const portal = await script(t, (response) => {
    response.writeHead(200, { "content-type": "text/html" });
    response.end("<h1>");
  });
  await assert.rejects(publish(portal.url, "x", { retryFor: 0 }), { kind: "unexpected" });
});

test("a topic that proxies take for another one is published to, and read, all the same", async (t) => {
  const hub = await Hub.start(t);
  // As many proxies do: it takes steps, and leaves out empty segments, before it passes a request on.
  const origin = await nginx(t, hub, "rewrite ^ $uri break;");
  // The URL of the topic, and the same as one writes it who does not think of it.
  for (const [topic, ...paths] of [
    ["a/../b", "a%2F..%2Fb", "a/../b", "a/%2e%2E/b"],
    ["a/./b", "a%2F.%2Fb", "a/./b"],
    ["a//b", "a//b", "a%2F%2Fb"],
    ["..", "..", "%2e%2e"],
    ["c/..", "c/..", "c%2F.."],
    ["a\\b", "a\\b"],
  ]) {
    for (const path of paths) {
      const url = `${origin}/topics/${path}`;
      const events = connect(url, { since: "latest" });
      t.after(events.close);
      const seen = collect(events);
      await new Promise((resolve) => events.on("state", ({ status }) => status === "open" && resolve()));
      const published = await publish(url, "one\n", { event: "tick", idempotencyKey: `${path}` });
      assert.deepEqual([published.topic, published.repeated], [topic, false]);
      assert.equal((await publish(url, "one\n", { event: "tick", idempotencyKey: `${path}` })).repeated, true);
      await publish(`${url}?event=tock`, { price: 1 });
      await publish(url, new Uint8Array([255, 0]));
      await publish(url, '{"n":12345678901234567890}', { json: true });
      const told = await seen.count(4);
      assert.equal(told[0].id, published.id);
      assert.deepEqual(
        told.map(({ topic, event, data, encoding }) => [topic, event, data, encoding]),
        [
          [topic, "tick", "one\n", undefined],
          [topic, "tock", { price: 1 }, undefined],
          [topic, undefined, "/wA=", "base64"],
          [topic, undefined, { n: 12345678901234567890 }, undefined],
        ],
      );
      const page = await (await fetch(`${hub.url}/events?topic=${encodeURIComponent(topic)}&since=-1`)).text();
      assert.match(page, /"data":\{"n":12345678901234567890\}/);
      await assert.rejects(publish(url, "x", { close: true }), TypeError);
      await assert.rejects(publish(`${url}?close=true`, "x"), TypeError);
    }
  }
  const { topics } = await (await fetch(`${hub.url}/topics`)).json();
  assert.deepEqual(topics.map(({ topic }) => topic).sort(), ["..", "a/../b", "a/./b", "a//b", "a\\b", "c/.."]);
});

test("other topics are published to where their URL says", async (t) => {
  const hub = await Hub.start(t);
  for (const [topic, path] of [["a b/\u00fc", "a b/\u00fc"], ["a?#%2e", "a%3F%23%252e"], ["...", "..."], ["topics/x", "topics/x"], [".a/b.", ".a/b."]]) {
    assert.equal((await publish(`${hub.url}/topics/${path}`, "x")).topic, topic);
  }
});

test("an answer without a body is none of a hub", async (t) => {
  const server = await script(t, (response) => response.writeHead(204).end());
  await assert.rejects(publish(server.url, "x", { retryFor: 0 }), { kind: "unexpected" });
});
