// WebSockets with a real hub: the client's transport, and the npm package `ws` as anybody may use it.

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { connect, publish } from "tidings";
import { websocket } from "tidings/websocket";
import { WebSocket } from "ws";
import { Hub } from "./support/hub.js";
import { Keys } from "./support/keys.js";
import { nginx } from "./support/nginx.js";
import { socket } from "./support/sockets.js";
import { collect, datas, states } from "./support/wait.js";

const numbers = (count) => Array.from({ length: count }, (_, n) => n);

/** A socket of `ws`, and what it hears. */
class Talk {
  static async open(t, url, options = {}) {
    const talk = new Talk();
    talk.heard = [];
    talk.at = 0;
    talk.changed = () => {};
    talk.socket = new WebSocket(url.replace("http", "ws"), "tidings.v1", { rejectUnauthorized: false, ...options });
    t.after(() => talk.socket.terminate());
    talk.socket.on("message", (text) => {
      talk.heard.push(JSON.parse(text));
      talk.changed();
    });
    talk.closed = once(talk.socket, "close").then(([code, reason]) => [code, `${reason}`]);
    await once(talk.socket, "open");
    return talk;
  }

  say(message) {
    this.socket.send(JSON.stringify(message));
  }

  /** The next message. */
  async next() {
    while (this.at === this.heard.length) await new Promise((resolve) => (this.changed = resolve));
    return this.heard[this.at++];
  }

  /** The next message but heartbeats. */
  async hear() {
    for (;;) {
      const message = await this.next();
      if (Object.keys(message).some((name) => !["next", "sub"].includes(name))) return message;
    }
  }
}

test("`ws` subscribes by name, publishes, and is told of each what is its own", async (t) => {
  const hub = await Hub.start(t);
  await hub.publish("a", "before");
  const talk = await Talk.open(t, `${hub.url}/socket`);
  assert.equal(talk.socket.protocol, "tidings.v1");
  talk.say({ subscribe: "all", topics: ["a", "b/*"], since: "earliest" });
  const { subscribed, next } = await talk.hear();
  assert.equal(subscribed, "all");
  assert.match(next, /^[a-z0-9]{6,16}-0$/);
  assert.deepEqual((({ sub, topic, data }) => ({ sub, topic, data }))(await talk.hear()), { sub: "all", topic: "a", data: "before" });
  talk.say({ subscribe: "ticks", topics: ["b/1"], event: ["tick"] });
  assert.equal((await talk.hear()).subscribed, "ticks");

  talk.say({ publish: { topic: "b/1", data: { n: 1.5 }, event: "tick", key: "k" }, ref: "one" });
  const heard = [await talk.hear(), await talk.hear(), await talk.hear()];
  const receipt = heard.find(({ ref }) => ref);
  assert.equal(receipt.ref, "one");
  const told = heard.filter(({ sub }) => sub);
  assert.deepEqual(told.map(({ sub }) => sub).sort(), ["all", "ticks"]);
  for (const { id, topic, event, data } of told) assert.deepEqual([id, topic, event, data], [receipt.published.id, "b/1", "tick", { n: 1.5 }]);

  talk.say({ unsubscribe: "all" });
  assert.deepEqual(await talk.hear(), { unsubscribed: "all" });
  await hub.publish("a", "nobody is told");
  await hub.publish("b/1", "last", "?event=tick&close=true");
  const last = await talk.hear();
  assert.deepEqual([last.sub, last.data], ["ticks", "last"]);
  const { sub, end } = await talk.hear();
  assert.deepEqual([sub, end.id], ["ticks", last.id]);

  talk.say({ publish: { topic: "b/1", data: "too late" }, ref: 2 });
  const { problem, ref } = await talk.hear();
  assert.deepEqual([problem.status, problem.type, ref], [409, "urn:tidings:topic-closed", 2]);
  // It is open all the same.
  talk.say({ publish: { topic: "a", data: "x" }, ref: 3 });
  assert.equal((await talk.hear()).ref, 3);
});

test("`ws` hears why it is closed: the hub shuts down, and comes back", async (t) => {
  const hub = await Hub.start(t);
  const talk = await Talk.open(t, hub.topic("a"));
  const { subscribed, next } = await talk.hear();
  assert.deepEqual([subscribed, typeof next], ["", "string"]);
  await hub.kill("SIGTERM");
  const [code, reason] = await talk.closed;
  assert.equal(code, 1001);
  assert.match(reason, /\d+ ms/);
  await hub.resume();
  await hub.publish("a", "meanwhile");
  const again = await Talk.open(t, `${hub.topic("a")}?lastEventId=${next}`);
  await again.hear();
  assert.equal((await again.hear()).data, "meanwhile");
});

for (const [what, options] of [["compressed", {}], ["as they are", { perMessageDeflate: false }]]) {
  test(`\`ws\` is given events ${what}`, async (t) => {
    const hub = await Hub.start(t);
    const talk = await Talk.open(t, hub.topic("a"), options);
    assert.equal(talk.socket.extensions.includes("permessage-deflate"), what === "compressed");
    await talk.hear();
    const texts = ["short", "many words ".repeat(50), "0123456789abcdef".repeat(20_000), "grüße \u{1f4ec} \u2028", ""];
    for (const text of texts) await publish(hub.topic("a"), text);
    for (const text of texts) assert.equal((await talk.hear()).data, text);
  });
}

for (const [what, name] of [["TLS", "startTls"], ["plain TCP", "start"]]) {
  test(`over ${what}, what is published through a socket comes exactly once, while the hub is killed`, async (t) => {
    const hub = await Hub[name](t);
    class Trusting extends WebSocket {
      constructor(url, protocol) {
        super(url, protocol, { rejectUnauthorized: false });
      }
    }
    const through = websocket({ WebSocket: Trusting });
    const events = connect(`${hub.url}/topics/a`, { transports: [through], since: "earliest" });
    t.after(events.close);
    const { until } = states(events);
    const seen = collect(events);
    await until("open");
    const total = 200;
    let overHttp = 0;
    // Over TLS, Node.js would not trust the hub without an option of its own, so HTTP goes to it in clear.
    const counting = (url, init) => {
      overHttp++;
      return fetch(`${url}`.replace("https:", "http:"), init);
    };
    const publishing = (async () => {
      for (const n of numbers(total)) await publish(`${hub.url}/topics/a`, n, { socket: through, fetch: counting });
    })();
    for (const before of [40, 120]) {
      await seen.count(before);
      await hub.kill();
      await hub.resume();
    }
    await publishing;
    assert.deepEqual(datas(await seen.count(total)), numbers(total));
    // Those that the kills left without an acknowledgement, and those until a socket was open again.
    assert.ok(overHttp < total, `${overHttp} of ${total} were published over HTTP`);
  });
}

test("an event has a lifetime, through a socket and over HTTP", async (t) => {
  const hub = await Hub.start(t);
  const through = socket();
  const events = connect(hub.topic("a"), { transports: [through] });
  t.after(events.close);
  await states(events).until("open");
  await publish(hub.topic("a"), "kept", { ttl: "1h", socket: through, fetch: assert.fail });
  await publish(hub.topic("a"), "passes", { ttl: "20ms", socket: through, fetch: assert.fail });
  const { time } = await publish(hub.topic("a"), "passes", { ttl: "20ms" });
  while (Date.now() <= Date.parse(time) + 20) await new Promise((resolve) => setTimeout(resolve, 20));
  const page = await (await fetch(hub.topic("a"))).json();
  assert.deepEqual(page.events.map(({ data }) => data), ["kept"]);
  for (const ttl of ["0s", "90"]) {
    await assert.rejects(publish(hub.topic("a"), "x", { ttl }), { kind: "refused", status: 400 });
  }
});

test("many publications at once are appended in their order", async (t) => {
  const hub = await Hub.start(t);
  const through = socket();
  const events = connect(hub.topic("a"), { transports: [through] });
  t.after(events.close);
  await states(events).until("open");
  const seen = collect(events);
  const ids = await Promise.all(numbers(500).map(async (n) => (await publish(hub.topic("a"), n, { socket: through, fetch: assert.fail })).id));
  assert.deepEqual(datas(await seen.count(500)), numbers(500));
  assert.deepEqual(seen.seen.map(({ id }) => id), ids);
});

test("a key is the same through a socket and over HTTP", async (t) => {
  const hub = await Hub.start(t);
  const through = socket();
  const events = connect(hub.topic("a"), { transports: [through] });
  t.after(events.close);
  await states(events).until("open");
  for (const [n, data] of ["text", { n: 1 }, new Uint8Array([255, 0])].entries()) {
    const options = { idempotencyKey: `k-${n}`, event: "tick" };
    const first = await publish(hub.topic("a"), data, { ...options, socket: through, fetch: assert.fail });
    const second = await publish(hub.topic("a"), data, options);
    const third = await publish(hub.topic("a"), data, { ...options, socket: through, fetch: assert.fail });
    assert.deepEqual([second.id, third.id, first.repeated, second.repeated, third.repeated], [first.id, first.id, false, true, true]);
    await assert.rejects(publish(hub.topic("a"), "other", { ...options, socket: through }), { kind: "refused", status: 422 });
  }
});

test("JSON goes through a socket byte for byte", async (t) => {
  const hub = await Hub.start(t);
  const through = socket();
  const events = connect(hub.topic("a"), { transports: [through] });
  t.after(events.close);
  await states(events).until("open");
  const text = '{"n":12345678901234567890, "m":1.10,\n "m":1e2}';
  await publish(hub.topic("a"), text, { json: true, socket: through, fetch: assert.fail });
  assert.ok((await (await fetch(hub.topic("a"))).text()).includes(`"data":${text}`));
});

test("a token is renewed in the socket, which goes on; what it does not cover is refused alone", async (t) => {
  const keys = new Keys();
  const hub = await Hub.start(t, ...keys.flags(t));
  let asked = 0;
  const token = async () => {
    asked++;
    return keys.token({ subject: "ann", subscribe: ["a"], publish: ["a"], seconds: 2 });
  };
  const through = socket();
  const events = connect(hub.topic("a"), { token, transports: [through] });
  t.after(events.close);
  const { seen: told, until } = states(events);
  const seen = collect(events);
  await until("open");
  await assert.rejects(publish(hub.topic("b"), 0, { socket: through, fetch: assert.fail }), { kind: "refused", status: 403 });
  for (let n = 0; asked < 4; n++) {
    await publish(hub.topic("a"), n, { socket: through, fetch: assert.fail });
    await seen.count(n + 1);
  }
  assert.deepEqual(told, []);
});

test("a token that ends with nothing after it closes the socket, and the next attempt says why", async (t) => {
  const keys = new Keys();
  const hub = await Hub.start(t, ...keys.flags(t));
  const first = keys.token({ subscribe: ["a"], seconds: 1 });
  const events = connect(hub.topic("a"), { token: first, transports: [socket()] });
  t.after(events.close);
  const { until } = states(events);
  await until("open");
  const { error } = await until("failed");
  assert.deepEqual([error.kind, error.status], ["refused", 401]);
});

for (const [what, options, status] of [
  ["no token", {}, 401],
  ["another's token", { token: () => new Keys().token({ subscribe: ["**"] }) }, 401],
  ["a token for another topic", { rights: { subscribe: ["b"] } }, 403],
]) {
  test(`${what} is refused, and the reason told`, async (t) => {
    const keys = new Keys();
    const hub = await Hub.start(t, ...keys.flags(t));
    const token = options.rights ? () => keys.token(options.rights) : options.token;
    // Without one, the hub waits for it, and the client for the hub.
    const events = connect(hub.topic("a"), { token, transports: [socket(), "sse"], firstByte: 500 });
    t.after(events.close);
    const { error } = await states(events).until("failed");
    assert.deepEqual([error.kind, error.status], ["refused", status]);
  });
}

for (const [what, location, transport] of [
  ["forwards Upgrade", 'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";', "websocket"],
  ["does not", "", "sse"],
  ["does not, and buffers", "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;", "long-poll"],
]) {
  test(`through a proxy that ${what}, events come by ${transport}`, async (t) => {
    const hub = await Hub.start(t);
    const origin = await nginx(t, hub, location);
    await hub.publish("a", "0");
    const events = connect(`${origin}/topics/a`, { transports: [socket(), "sse", "long-poll", "poll"], since: "earliest", firstByte: 1_000 });
    t.after(events.close);
    const { until } = states(events);
    const seen = collect(events);
    assert.equal((await until("open")).transport, transport);
    for (const n of [1, 2, 3]) await hub.publish("a", `${n}`);
    assert.deepEqual(datas(await seen.count(4)), ["0", "1", "2", "3"]);
  });
}

test("a topic that has ended is over at once, and an empty one is waited on", async (t) => {
  const hub = await Hub.start(t);
  await hub.publish("a", "1", "?close=true");
  const options = { transports: [socket()], since: "earliest" };
  const events = connect(hub.topic("a"), options);
  const seen = collect(events);
  await states(events).until("ended");
  assert.deepEqual(datas(seen.seen), ["1"]);
  const again = connect(hub.topic("a"), { ...options, cursor: events.cursor });
  await states(again).until("ended");
  assert.equal(again.cursor, events.cursor);
});
