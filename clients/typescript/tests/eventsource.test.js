import assert from "node:assert/strict";
import { test } from "node:test";
import { EventSource } from "tidings/eventsource";
import { Hub } from "./support/hub.js";
import { ended, events, problem, script } from "./support/script.js";

/** Opens a source that ends with the test. */
function open(t, url, options) {
  const source = new EventSource(url, options);
  t.after(() => source.close());
  return source;
}
const heard = (source, type) => new Promise((resolve) => source.addEventListener(type, resolve, { once: true }));

test("it has the names and the states of the standard", async (t) => {
  const hub = await Hub.start(t);
  const source = open(t, hub.topic("a"));
  assert.deepEqual([EventSource.CONNECTING, EventSource.OPEN, EventSource.CLOSED], [0, 1, 2]);
  assert.deepEqual([source.CONNECTING, source.OPEN, source.CLOSED], [0, 1, 2]);
  assert.deepEqual([source.url, source.readyState, source.withCredentials], [hub.topic("a"), 0, false]);
  assert.deepEqual([source.onopen, source.onmessage, source.onerror], [null, null, null]);
  const opened = await new Promise((resolve) => (source.onopen = resolve));
  assert.deepEqual([opened.type, source.readyState], ["open", 1]);
  source.close();
  assert.equal(source.readyState, 2);
  assert.throws(() => new EventSource("no url"), { name: "SyntaxError" });
});

test("messages have data, type, origin and the last event id", async (t) => {
  const server = await script(t, events("id: 7\ndata: a\ndata: b\n\n", "event: tick\ndata: 1\n\n", ": x\n\nid\ndata\n\n"));
  const source = open(t, server.url);
  const told = [];
  const all = new Promise((resolve) => {
    source.onmessage = (message) => told.push(message) === 3 && resolve();
    source.addEventListener("tick", (message) => told.push(message));
  });
  await all;
  assert.deepEqual(
    told.map(({ type, data, lastEventId }) => [type, data, lastEventId]),
    [["message", "a\nb", "7"], ["tick", "1", "7"], ["message", "", ""]],
  );
  assert.equal(told[0].origin, new URL(server.url).origin);
  assert.ok(told[0] instanceof MessageEvent);
});

test("it reconnects with the last event id, and is told when", async (t) => {
  const server = await script(t, ended("retry: 10\nid: \u00fc7\ndata: a\n\n"), events("data: b\n\n"));
  const source = open(t, server.url);
  const cut = heard(source, "error").then(() => source.readyState);
  const seen = [];
  await new Promise((resolve) => (source.onmessage = ({ data }) => seen.push(data) === 2 && resolve()));
  assert.equal(await cut, 0);
  assert.deepEqual(seen, ["a", "b"]);
  assert.equal(Buffer.from(server.requests[1].headers["last-event-id"], "latin1").toString(), "\u00fc7");
  assert.equal("last-event-id" in server.requests[0].headers, false);
  assert.equal(server.requests[0].headers.accept, "text/event-stream");
});

for (const [what, answer] of [
  ["204", (response) => response.writeHead(204).end()],
  ["an error", problem(500, "no")],
  ["another type", (response) => response.writeHead(200, { "content-type": "text/html" }).end("data: x\n\n")],
]) {
  test(`${what} ends it for good`, async (t) => {
    const server = await script(t, answer);
    const source = open(t, server.url);
    source.onopen = () => assert.fail("it did not open");
    await heard(source, "error");
    assert.equal(source.readyState, 2);
    assert.equal(server.requests.length, 1);
  });
}

test("a hub that is killed is come back to, without loss or repetition", async (t) => {
  const hub = await Hub.start(t);
  await hub.publish("a", "1");
  const source = open(t, `${hub.topic("a")}?since=earliest`);
  const seen = [];
  let more = () => {};
  source.onmessage = ({ data }) => {
    seen.push(data);
    more();
  };
  const count = async (count) => {
    while (seen.length < count) await new Promise((resolve) => (more = resolve));
  };
  await count(1);
  await hub.kill();
  await heard(source, "error");
  await hub.resume();
  await hub.publish("a", "2");
  await count(2);
  assert.deepEqual(seen, ["1", "2"]);
});

test("what listeners do takes effect at once", async (t) => {
  const server = await script(t, events("data: 1\n\ndata: 2\n\n"));
  const source = open(t, server.url);
  const seen = [];
  source.onmessage = ({ data }) => {
    seen.push(data);
    source.close();
  };
  await heard(source, "message");
  await new Promise(setImmediate);
  assert.deepEqual(seen, ["1"]);
  assert.equal(server.requests.length, 1);
});
