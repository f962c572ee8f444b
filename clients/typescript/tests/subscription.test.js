import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { connect, publish } from "tidings";
import { Hub } from "./support/hub.js";
import { transports } from "./support/sockets.js";
import { collect, datas, states } from "./support/wait.js";

for (const [name, transport] of Object.entries(transports)) {
  test(`every kind of data arrives as it was published: ${name}`, async (t) => {
    const hub = await Hub.start(t);
    const events = connect(hub.topic("a/*"), { transports: [transport], interval: 50 });
    t.after(events.close);
    const seen = collect(events);
    await states(events).until("open");
    await publish(hub.topic("a/text"), "one\ntwo");
    await publish(hub.topic("a/json"), { price: 1.5, list: [null, true] }, { event: "tick" });
    await publish(hub.topic("a/bytes"), new Uint8Array([255, 0]));
    await publish(hub.topic("a/empty"), "");
    const [text, json, bytes, empty] = await seen.count(4);
    assert.equal(text.data, "one\ntwo");
    assert.equal(text.topic, "a/text");
    assert.equal("event" in text, false);
    assert.deepEqual([json.event, json.data], ["tick", { price: 1.5, list: [null, true] }]);
    assert.deepEqual([bytes.encoding, bytes.data], ["base64", "/wA="]);
    assert.equal(empty.data, "");
    assert.equal(events.cursor, empty.id);
  });

  test(`an event that is nested deep is one like others: ${name}`, async (t) => {
    const hub = await Hub.start(t);
    const deep = `${"[".repeat(5_000)}1${"]".repeat(5_000)}`;
    await publish(hub.topic("a"), deep, { json: true });
    await publish(hub.topic("a"), "after");
    const events = connect(hub.topic("a"), { transports: [transport], since: "earliest" });
    t.after(events.close);
    let [{ data }, { data: after }] = await collect(events).count(2);
    let depth = 0;
    for (; Array.isArray(data); depth++) [data] = data;
    assert.deepEqual([depth, data, after], [5_000, 1, "after"]);
  });

  test(`a closed topic ends, and ends whoever comes later: ${transport}`, async (t) => {
    const hub = await Hub.start(t);
    await hub.publish("job", "1");
    const events = connect(hub.topic("job"), { transports: [transport], since: "earliest", interval: 50 });
    const { until } = states(events);
    const seen = collect(events);
    await seen.count(1);
    await publish(hub.topic("job"), "2", { close: true });
    await until("ended");
    assert.deepEqual(datas(seen.seen), ["1", "2"]);
    const later = connect(hub.topic("job"), { transports: [transport], cursor: events.cursor });
    await states(later).until("ended");
    assert.equal(later.cursor, events.cursor);
  });
}

test("events are told by their type, and one that is named as something else is not mixed with it", async (t) => {
  const hub = await Hub.start(t);
  const events = connect(hub.topic("a"), { since: "earliest" });
  t.after(events.close);
  const told = [];
  for (const type of ["message", "error", "gap", "state", "constructor"]) {
    events.on(type, (event) => event.data && told.push([type, event.data]));
  }
  const all = collect(events);
  for (const type of ["error", "gap", "state", "constructor", "*"]) await hub.publish("a", type, `?event=${type}`);
  await hub.publish("a", "plain");
  await all.count(6);
  assert.deepEqual(told, [["error", "error"], ["constructor", "constructor"], ["message", "plain"]]);
});

test("what comes before there is a listener waits for it", async (t) => {
  const hub = await Hub.start(t);
  await hub.publish("a", "1");
  const events = connect(hub.topic("a"), { since: "earliest" });
  t.after(events.close);
  await states(events).until("open");
  await hub.publish("a", "2");
  assert.equal(events.cursor?.endsWith("-1") ?? false, false);
  assert.deepEqual(datas(await collect(events).count(2)), ["1", "2"]);
});

test("a listener that throws stops nothing, and its error is an uncaught one", async (t) => {
  const hub = await Hub.start(t);
  await hub.publish("a", "1");
  await hub.publish("a", "2", "?close=true");
  // In a process of its own, as the runner takes uncaught errors for its own.
  const program = `
    import { connect } from "tidings";
    process.on("uncaughtException", ({ message }) => console.log("uncaught", message));
    const events = connect(process.argv[1], { since: "earliest" });
    events.on("message", ({ data }) => {
      throw new Error(data);
    });
    events.on("*", ({ data }) => console.log("heard", data));
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", program, hub.topic("a")], {
    cwd: import.meta.dirname ?? new URL(".", import.meta.url).pathname,
    timeout: 30_000,
  });
  assert.deepEqual(stdout.trim().split("\n").sort(), ["heard 1", "heard 2", "uncaught 1", "uncaught 2"]);
});

test("a listener that is taken away hears no more", async (t) => {
  const hub = await Hub.start(t);
  const events = connect(hub.topic("a"), { since: "earliest" });
  t.after(events.close);
  const heard = [];
  const off = events.on("message", ({ data }) => heard.push(data) && off());
  const all = collect(events);
  await hub.publish("a", "1");
  await hub.publish("a", "2");
  await all.count(2);
  assert.deepEqual(heard, ["1"]);
});

test("a loop pulls the same events, and leaving it closes", async (t) => {
  const hub = await Hub.start(t);
  for (let n = 0; n < 5; n++) await hub.publish("a", `${n}`);
  const events = connect(hub.topic("a"), { since: "earliest" });
  const pulled = [];
  for await (const { data, id } of events) {
    pulled.push(data);
    assert.equal(events.cursor, id);
    if (data === "2") break;
  }
  assert.deepEqual(pulled, ["0", "1", "2"]);
  assert.deepEqual(events.state, { status: "closed" });
  const rest = [];
  const further = connect(hub.topic("a"), { cursor: events.cursor });
  for await (const { data } of further) if (rest.push(data) === 2) break;
  assert.deepEqual(rest, ["3", "4"]);
});

test("a loop ends with the topic, and throws where the subscription fails", async (t) => {
  const hub = await Hub.start(t);
  await hub.publish("a", "1", "?close=true");
  const pulled = [];
  for await (const { data } of connect(hub.topic("a"), { since: "earliest" })) pulled.push(data);
  assert.deepEqual(pulled, ["1"]);
  await assert.rejects(
    async () => {
      for await (const event of connect(`${hub.url}/nowhere`)) assert.fail(event);
    },
    { name: "TidingsError", kind: "refused", status: 404 },
  );
});

test("a slow loop makes the client stop reading, and nothing is lost", async (t) => {
  const hub = await Hub.start(t);
  const total = 3_000;
  const lines = (from) =>
    Array.from({ length: 500 }, (_, n) => JSON.stringify({ data: `${from + n}`.padEnd(2_000) })).join("\n");
  for (let from = 0; from < total; from += 500) {
    const answer = await fetch(hub.topic("a"), {
      method: "POST",
      headers: { "content-type": "application/x-ndjson" },
      body: lines(from),
    });
    assert.equal(answer.status, 201);
  }
  for (const transports of [["sse"], ["poll"]]) {
    let read = 0;
    const counting = async (...request) => {
      const response = await fetch(...request);
      const count = new TransformStream(
        { transform: (piece, out) => ((read += piece.length), out.enqueue(piece)) },
        undefined,
        { highWaterMark: 0 },
      );
      return new Response(response.body.pipeThrough(count), response);
    };
    const events = connect(hub.topic("a"), { transports, since: "earliest", buffer: 10, interval: 0, fetch: counting });
    let expected = 0;
    let lead = 0;
    for await (const { data } of events) {
      assert.equal(+data, expected++);
      lead = Math.max(lead, read - expected * 2_000);
      await new Promise(setImmediate);
      if (expected === total) break;
    }
    // Ten events and a piece or two of what the network holds, of six megabytes.
    assert.ok(lead < 1_500_000, `${transports}: ${lead} bytes ahead`);
  }
});

test("a pause stops the delivery and the connection, and a resumption goes on where it was", async (t) => {
  const hub = await Hub.start(t);
  for (const name of ["websocket", "sse", "long-poll"]) {
    const events = connect(hub.topic(name), { transports: [transports[name]] });
    const { until } = states(events);
    const seen = collect(events);
    await until("open");
    await hub.publish(name, "1");
    await seen.count(1);
    events.pause();
    await until("paused");
    await hub.publish(name, "2");
    assert.deepEqual(datas(seen.seen), ["1"]);
    events.resume();
    assert.deepEqual(datas(await seen.count(2)), ["1", "2"]);
    events.close();
    await until("closed");
  }
});

test("a listener may pause in the middle of what came", async (t) => {
  const hub = await Hub.start(t);
  for (let n = 1; n <= 4; n++) await hub.publish("a", `${n}`);
  const events = connect(hub.topic("a"), { since: "earliest" });
  t.after(events.close);
  const seen = [];
  const { until } = states(events);
  events.on("*", ({ data }) => {
    seen.push(data);
    if (data === "2") events.pause();
  });
  await until("paused");
  assert.deepEqual(seen, ["1", "2"]);
  const rest = collect(events);
  events.resume();
  await rest.count(2);
  assert.deepEqual(seen, ["1", "2", "3", "4"]);
});

test("the cursor is kept, and begun from", async (t) => {
  const hub = await Hub.start(t);
  const kept = new Map();
  const store = { load: async () => kept.get("a"), save: (cursor) => kept.set("a", cursor) };
  await hub.publish("a", "1");
  const first = connect(hub.topic("a"), { since: "earliest", store });
  await collect(first).count(1);
  first.close();
  await new Promise(setImmediate);
  assert.equal(kept.get("a"), first.cursor);
  await hub.publish("a", "2");
  const second = connect(hub.topic("a"), { since: "earliest", store });
  assert.deepEqual(datas(await collect(second).count(1)), ["2"]);
  second.close();
});

test("a cursor store that cannot be read fails, as another beginning would lose events", async (t) => {
  const hub = await Hub.start(t);
  const store = { load: () => Promise.reject(new Error("no disk")), save() {} };
  const { error } = await states(connect(hub.topic("a"), { store })).until("failed");
  assert.equal(error.kind, "store");
  assert.match(error.message, /no disk/);
});

test("parameters of the URL stand", async (t) => {
  const hub = await Hub.start(t);
  await hub.publish("a", "1", "?event=x");
  await hub.publish("b", "2", "?event=y");
  await hub.publish("c", "3", "?event=y");
  const events = connect(`${hub.url}/events?topic=a&topic=b&event=y&since=earliest`);
  t.after(events.close);
  assert.deepEqual(datas(await collect(events).count(1)), ["2"]);
});

for (const [name, transport] of Object.entries(transports)) {
  test(`what is pending is folded as asked for: ${name}`, async (t) => {
    const hub = await Hub.start(t);
    const tokens = Array.from({ length: 50 }, (_, n) => `${n} `);
    for (const token of tokens) await publish(hub.topic("a"), token);
    for (const [conflate, expected] of [["append", tokens.join("")], ["latest", tokens.at(-1)]]) {
      const events = connect(hub.topic("a"), { since: "earliest", conflate, every: 50, transports: [transport], interval: 20 });
      t.after(events.close);
      assert.deepEqual(datas(await collect(events).count(1)), [expected]);
    }
  });
}
