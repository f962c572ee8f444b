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
  assert.deepEqual([EventSource.name, EventSource.length, Object.prototype.toString.call(source)], ["EventSource", 1, "[object EventSource]"]);
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

test("its constants and attributes are as Web IDL has them", async (t) => {
  const server = await script(t, events("data: 1\n\n"));
  const source = open(t, server.url, { withCredentials: 1 });
  assert.deepEqual(Object.getOwnPropertyNames(source), []);
  for (const owner of [EventSource, EventSource.prototype]) {
    for (const [name, value] of Object.entries({ CONNECTING: 0, OPEN: 1, CLOSED: 2 })) {
      const expected = { value, writable: false, enumerable: true, configurable: false };
      assert.deepEqual(Object.getOwnPropertyDescriptor(owner, name), expected, name);
    }
  }
  for (const [name, value] of Object.entries({ url: server.url, withCredentials: true, readyState: 0, OPEN: 1 })) {
    assert.throws(() => (source[name] = "another"), TypeError, name);
    assert.equal(source[name], value);
  }
  for (const name of ["url", "withCredentials", "readyState", "onopen", "onmessage", "onerror"]) {
    const { get, set, enumerable, configurable } = Object.getOwnPropertyDescriptor(EventSource.prototype, name);
    assert.deepEqual([typeof get, typeof set, enumerable, configurable], ["function", name.startsWith("on") ? "function" : "undefined", true, true], name);
  }
  const { writable, enumerable, value } = Object.getOwnPropertyDescriptor(EventSource.prototype, Symbol.toStringTag);
  assert.deepEqual([writable, enumerable, value], [false, false, "EventSource"]);
  assert.equal(Object.getOwnPropertyDescriptor(EventSource.prototype, "close").enumerable, true);
});

test("its arguments are taken as Web IDL has them", async (t) => {
  const server = await script(t, events("data: 1\n\n"));
  assert.throws(() => EventSource(server.url), TypeError);
  assert.throws(() => new EventSource(), TypeError);
  assert.throws(() => new EventSource(Symbol("x")), TypeError);
  assert.throws(() => new EventSource(server.url, 7), TypeError);
  assert.throws(() => new EventSource("http://["), (error) => error instanceof DOMException && error.name === "SyntaxError" && error.code === 12);
  for (const options of [undefined, null, {}, () => {}]) assert.equal(open(t, new URL(server.url), options).withCredentials, false);
  assert.equal(open(t, `${server.url}/../%75?x#y`).url, `${server.url.replace(/t$/, "")}%75?x#y`);
});

test("a handler is called where it was set while there was none", async (t) => {
  const heard = [];
  const say = (name) =>
    function ({ data }) {
      assert.equal(this, source);
      heard.push(name + data);
    };
  // What is done before each of the messages.
  const before = [
    () => {},
    // Another one in its place keeps the place; one after none comes last.
    () => (source.onmessage = say("d")),
    () => (source.onmessage = null),
    () => (source.onmessage = say("e")),
    // What cannot be called is kept, and called in vain.
    () => (source.onmessage = { handleEvent: assert.fail }),
  ];
  let sent = 0;
  const body = new ReadableStream(
    {
      pull(controller) {
        if (sent === before.length) return;
        before[sent++]();
        controller.enqueue(new TextEncoder().encode(`data: ${sent}\n\n`));
      },
    },
    { highWaterMark: 0 },
  );
  const source = open(t, "http://hub/", { fetch: async () => new Response(body, { headers: { "content-type": "text/event-stream" } }) });
  source.onmessage = null;
  source.onmessage = 7;
  assert.equal(source.onmessage, null);
  source.addEventListener("message", say("a"));
  source.onmessage = say("b");
  source.addEventListener("message", say("c"));
  await new Promise((resolve) => source.addEventListener("message", ({ data }) => data === "5" && resolve()));
  assert.deepEqual(heard, ["a1", "b1", "c1", "a2", "d2", "c2", "a3", "c3", "a4", "c4", "e4", "a5", "c5"]);
  assert.equal(source.onmessage.handleEvent, assert.fail);
});

test("one byte order mark is none of the text, and a second one is", async (t) => {
  for (const [start, expected] of [["\ufeff", ["1", "2"]], ["\ufeff\ufeff", ["2"]], ["\u00ef\u00bb\u00bf", ["2"]], ["", ["1", "2"]]]) {
    const server = await script(t, events(`${start}data: 1\n\n`, "data: 2\n\n"));
    const source = open(t, server.url);
    const seen = [];
    await new Promise((resolve) => (source.onmessage = ({ data }) => seen.push(data) && data === "2" && resolve()));
    assert.deepEqual(seen, expected, JSON.stringify(start));
  }
});

test("a retry of nothing, or beyond what a timer can wait, is no busy loop", async (t) => {
  const rests = [];
  const later = setTimeout;
  t.mock.method(globalThis, "setTimeout", (call, time, ...more) => (rests.push(time), later(call, time, ...more)));
  for (const [retry, from, to] of [["0", 100, 100], ["86400000", 86_400_000, 86_400_000], ["2147483648", 2 ** 31 - 1, 2 ** 31 - 1], ["9".repeat(30), 2 ** 31 - 1, 2 ** 31 - 1]]) {
    const source = open(t, "http://hub/", { fetch: async () => new Response(`retry: ${retry}\n\n`, { headers: { "content-type": "text/event-stream" } }) });
    rests.length = 0;
    await heard(source, "error");
    source.close();
    assert.equal(rests.length, 1, retry);
    assert.ok(rests[0] >= from && rests[0] <= to, `${retry}: ${rests}`);
  }
});

test("an id is sent however long it is", async (t) => {
  const id = "\u00fc".repeat(65_000);
  const told = [];
  const source = open(t, "http://hub/", {
    fetch: async (_, { headers }) => {
      told.push(headers.get("last-event-id"));
      return new Response(`retry: 1\nid: ${id}\ndata: x\n\n`, { headers: { "content-type": "text/event-stream" } });
    },
  });
  await heard(source, "message");
  await heard(source, "message");
  assert.equal(told[0], null);
  assert.equal(Buffer.from(told[1], "latin1").toString(), id);
});

test("what can never be sent ends it for good, and says so", async (t) => {
  for (const url of ["ftp://hub/topics/a", "ws://hub/topics/a", "file:///topics/a", "nonsense:x", "http://user:secret@127.0.0.1:1/"]) {
    const source = open(t, url);
    assert.equal(source.readyState, 0);
    await heard(source, "error");
    assert.equal(source.readyState, 2, url);
  }
  const server = await script(t, ended("retry: 1\nid: a\u0001b\ndata: x\n\n"));
  const source = open(t, server.url);
  await heard(source, "error");
  assert.equal(source.readyState, 0);
  await heard(source, "error");
  assert.equal(source.readyState, 2);
});

test("an answer that a `fetch` of one's own makes up is no end", async (t) => {
  let asked = 0;
  const source = open(t, "http://hub/", {
    fetch: async () => {
      const headers = { "content-type": "text/event-stream" };
      if (asked++) return new Response("retry: 1\ndata: x\n\n", { headers });
      return { status: 200, headers: new Headers(headers), body: null, url: "no url" };
    },
  });
  await heard(source, "message");
  assert.equal(asked, 2);
});

test("an event without an end ends it for good, before it takes all memory", async (t) => {
  let sent = 0;
  let left = false;
  const body = new ReadableStream(
    {
      pull(controller) {
        controller.enqueue(Buffer.alloc(1 << 20, sent++ ? "x" : "data: x"));
      },
      cancel: () => (left = true),
    },
    { highWaterMark: 0 },
  );
  const source = open(t, "http://hub/", {
    fetch: async (_, { signal }) => {
      signal.addEventListener("abort", () => (left = true));
      return new Response(body, { headers: { "content-type": "text/event-stream" } });
    },
  });
  await heard(source, "error");
  assert.deepEqual([source.readyState, left], [2, true]);
  assert.ok(sent <= 34, `${sent} MiB`);
});
