import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, publish } from "tidings";
import { Hub } from "./support/hub.js";
import { transports } from "./support/sockets.js";
import { collect, datas, states } from "./support/wait.js";

const numbers = (count) => Array.from({ length: count }, (_, n) => n);

test("a cursor works on every transport", async (t) => {
  const hub = await Hub.start(t);
  let cursor;
  const names = ["sse", "long-poll", "poll", "websocket", "sse", "websocket", "poll", "long-poll", "websocket"];
  for (const [n, name] of names.entries()) {
    await hub.publish("a", `${n}`);
    const events = connect(hub.topic("a"), { transports: [transports[name]], since: "earliest", cursor });
    assert.deepEqual(datas(await collect(events).count(1)), [`${n}`]);
    events.close();
    ({ cursor } = events);
  }
});

for (const names of [["websocket"], ["sse"], ["long-poll"], ["poll"], ["sse", "long-poll", "poll"], ["websocket", "sse", "long-poll", "poll"]]) {
  test(`nothing is lost or repeated while the hub is killed again and again: ${names}`, async (t) => {
    const hub = await Hub.start(t);
    const total = 300;
    const events = connect(hub.topic("a"), { transports: names.map((name) => transports[name]), since: "earliest", interval: 20 });
    t.after(events.close);
    const seen = collect(events);
    const publishing = (async () => {
      for (const n of numbers(total)) await publish(hub.topic("a"), n);
    })();
    for (const seenBefore of [50, 120, 200]) {
      await seen.count(seenBefore);
      await hub.kill();
      await hub.resume();
    }
    await publishing;
    await seen.count(total);
    assert.deepEqual(datas(seen.seen), numbers(total));
  });
}

for (const name of ["websocket", "sse"]) test(`a hub that shuts down is come back to: ${name}`, async (t) => {
  const hub = await Hub.start(t);
  const events = connect(hub.topic("a"), { transports: [transports[name]] });
  t.after(events.close);
  const { until } = states(events);
  const seen = collect(events);
  await until("open");
  await hub.kill("SIGTERM");
  const { error } = await until("waiting");
  assert.equal(error.kind, "ended");
  await hub.resume();
  await until("open");
  await hub.publish("a", "1");
  assert.deepEqual(datas(await seen.count(1)), ["1"]);
});

test("a hub that is away is said to be unreachable, and is waited for", async (t) => {
  const hub = await Hub.start(t);
  await hub.kill();
  const events = connect(hub.topic("a"), { since: "earliest" });
  t.after(events.close);
  const { until } = states(events);
  const { error, retryIn } = await until("waiting");
  assert.equal(error.kind, "unreachable");
  assert.ok(retryIn <= 1_000);
  await hub.resume();
  await until("open");
});

test("a gap is told before what follows it", async (t) => {
  const hub = await Hub.start(t);
  await hub.publish("a", "1");
  for (const transport of Object.values(transports)) {
    const events = connect(hub.topic("a"), { transports: [transport], cursor: "another1-7" });
    const told = [];
    events.on("gap", (gap) => told.push(gap));
    events.on("*", ({ data }) => told.push(data));
    await collect(events).count(1);
    events.close();
    const [{ reason, since, resumed }, data] = told;
    assert.deepEqual([reason, since, data], ["unknown", "another1-7", "1"]);
    assert.match(resumed, /-0$/);
  }
});

test("a cursor that is none is a gap as well, and no dead end", async (t) => {
  const hub = await Hub.start(t);
  for (const cursor of ["\u{1f4a5} &x=1", "x".repeat(100_000), "\ud800", "a\0b\r\nc: d"]) {
    for (const name of ["websocket", "sse"]) {
      const events = connect(hub.topic("a"), { cursor, transports: [transports[name]] });
      t.after(events.close);
      const [gap] = await collect(events, "gap").count(1);
      assert.equal(gap.reason, "unknown");
    }
  }
});
