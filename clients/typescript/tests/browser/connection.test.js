// The client and the browser's own EventSource, in Chromium, against real hubs and proxies.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { publish } from "tidings";
import { browser, page, seen, told } from "../support/browser.js";
import { Hub } from "../support/hub.js";
import { Keys } from "../support/keys.js";
import { nginx } from "../support/nginx.js";

/** One for all of these; each test has a context of its own. */
const chromium = browser({ after });
const numbers = (count) => Array.from({ length: count }, (_, n) => n);

/** What opens a subscription in a page; the data ends up in `seen`. */
const followers = {
  "the client": (url) => void follow(connect(url)),
  "the client by WebSocket": (url) => void follow(connect(url, { transports: [websocket()] })),
  "WebSocket": (url) => {
    let query = "since=earliest";
    const at = new URL(url, location.href).href.replace("http", "ws");
    const open = () => {
      const socket = new WebSocket(`${at}?${query}`, "tidings.v1");
      socket.onopen = () => states.push({ status: "open", extensions: socket.extensions });
      socket.onmessage = (message) => {
        const { id, next, topic, data } = JSON.parse(message.data);
        if (id || next) query = `lastEventId=${id ?? next}`;
        if (topic) seen.push(data);
      };
      socket.onclose = () => setTimeout(open, 100);
    };
    open();
  },
  "EventSource": (url) => {
    const source = new EventSource(`${url}?since=earliest`);
    source.onopen = () => states.push({ status: "open" });
    source.onmessage = ({ data }) => seen.push(JSON.parse(data));
  },
  "the EventSource of the package": (url) => {
    const source = new Strict(`${url}?since=earliest`);
    source.onopen = () => states.push({ status: "open" });
    source.onmessage = ({ data }) => seen.push(JSON.parse(data));
  },
};

for (const [name, open] of Object.entries(followers)) {
  test(`${name} over HTTP/1.1: nothing is lost or repeated while the hub is killed under load`, async (t) => {
    const hub = await Hub.start(t);
    const tab = await page(await (await chromium).newContext(), hub.url);
    await tab.evaluate(open, "/topics/a");
    await told(tab, { status: "open" });
    const publishing = (async () => {
      for (const n of numbers(300)) await publish(hub.topic("a"), n);
    })();
    for (const count of [50, 150]) {
      await seen(tab, count);
      await hub.kill();
      await hub.resume();
    }
    await publishing;
    assert.deepEqual(await seen(tab, 300), numbers(300));
  });

  test(`${name} over HTTP/2 and TLS: twelve topics at once in one page`, async (t) => {
    const hub = await Hub.startTls(t);
    const tab = await page(await (await chromium).newContext(), hub.url);
    for (const n of numbers(12)) await tab.evaluate(open, `/topics/t/${n}`);
    // Over HTTP/1.1, a browser opens six connections to a host: the seventh stream would wait for ever.
    await tab.waitForFunction(() => states.filter(({ status }) => status === "open").length === 12);
    for (const n of numbers(12)) await publish(hub.topic(`t/${n}`), n);
    assert.deepEqual((await seen(tab, 12)).sort((a, b) => a - b), numbers(12));
    const protocols = await tab.evaluate(async () => {
      await fetch("/topics/t/0");
      return performance.getEntriesByType("resource").map(({ nextHopProtocol }) => nextHopProtocol);
    });
    assert.ok(protocols.length && protocols.every((protocol) => protocol === "h2"), `${protocols}`);
  });
}

test("where a proxy buffers, the client goes on by long poll from where it is", async (t) => {
  const hub = await Hub.start(t);
  const origin = await nginx(t, hub, "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;");
  const tab = await page(await (await chromium).newContext(), origin);
  await publish(hub.topic("a"), 0);
  await tab.evaluate(() => void follow(connect("/topics/a", { since: "earliest", firstByte: 1_000 })));
  await told(tab, { status: "open", transport: "long-poll" });
  assert.deepEqual(await tab.evaluate(() => states.filter(({ error }) => error).map(({ error }) => error.kind)), ["stalled"]);
  for (const n of numbers(20)) await publish(hub.topic("a"), n + 1);
  assert.deepEqual(await seen(tab, 21), numbers(21));
});

test("the network is taken away and given back", async (t) => {
  const hub = await Hub.start(t);
  const context = await (await chromium).newContext();
  const tab = await page(context, hub.url);
  await tab.evaluate(() => void follow(connect("/topics/a")));
  await told(tab, { status: "open" });
  await publish(hub.topic("a"), 0);
  await seen(tab, 1);
  await context.setOffline(true);
  await told(tab, { status: "waiting" });
  await publish(hub.topic("a"), 1);
  await context.setOffline(false);
  assert.deepEqual(await seen(tab, 2), [0, 1]);
  assert.equal(await tab.evaluate(() => events.state.status), "open");
});

test("a page whose clock shows that it slept reconnects", async (t) => {
  const hub = await Hub.start(t);
  const tab = await page(await (await chromium).newContext(), hub.url);
  await tab.evaluate(() => void follow(connect("/topics/a")));
  await told(tab, { status: "open" });
  await tab.evaluate(() => {
    // An hour that no timer has seen, as after a sleep.
    const now = Date.now;
    Date.now = () => now() + 3_600_000;
    window.dispatchEvent(new Event("visibilitychange"));
  });
  await tab.waitForFunction(() => states.some(({ error }) => error?.kind === "silent"));
  await publish(hub.topic("a"), 1);
  assert.deepEqual(await seen(tab, 1), [1]);
});

test("the cursor is kept in localStorage from one page to the next", async (t) => {
  const hub = await Hub.start(t);
  const context = await (await chromium).newContext();
  const open = () => void follow(connect("/topics/a", { since: "earliest", store: localStore("here") }));
  const first = await page(context, hub.url);
  await publish(hub.topic("a"), 1);
  await first.evaluate(open);
  await seen(first, 1);
  // A page that is being closed may receive for a moment longer.
  await first.evaluate(() => events.close());
  await first.close();
  await publish(hub.topic("a"), 2);
  const second = await page(context, hub.url);
  await second.evaluate(open);
  assert.deepEqual(await seen(second, 1), [2]);
});

test("a page publishes", async (t) => {
  const hub = await Hub.start(t);
  const tab = await page(await (await chromium).newContext(), hub.url);
  const { topic, repeated } = await tab.evaluate(() => publish("/topics/a", { price: 1 }, { event: "tick" }));
  assert.deepEqual([topic, repeated], ["a", false]);
});

test("a page of another origin uses a hub that names it, with a token", async (t) => {
  const home = await Hub.start(t);
  const hub = await Hub.start(t, "--cors-origins", home.url);
  const other = await Hub.start(t);
  const tab = await page(await (await chromium).newContext(), home.url);
  await tab.evaluate(async (url) => {
    follow(connect(`${url}/topics/a`, { token: async () => "secret" }));
    await publish(`${url}/topics/b`, 1, { token: "secret" });
  }, hub.url);
  await told(tab, { status: "open" });
  await publish(hub.topic("a"), 1);
  assert.deepEqual(await seen(tab, 1), [1]);
  // A browser does not say that it is for CORS; the state says all the same that nothing comes from there.
  await tab.evaluate((url) => void follow(connect(`${url}/topics/a`)), other.url);
  await tab.waitForFunction(() => states.some(({ error }) => error?.kind === "unreachable"));
});

test("a page publishes through its socket, and over HTTP where there is none", async (t) => {
  const hub = await Hub.start(t);
  const tab = await page(await (await chromium).newContext(), hub.url);
  await tab.evaluate(() => {
    globalThis.socket = websocket();
    globalThis.sent = [];
    const { send } = WebSocket.prototype;
    WebSocket.prototype.send = function (text) {
      sent.push(JSON.parse(text));
      send.call(this, text);
    };
    follow(connect("/topics/a", { transports: [socket] }));
  });
  await told(tab, { status: "open" });
  const published = await tab.evaluate(() => Promise.all([1, 2, 3].map((n) => publish("/topics/a", n, { socket }))));
  assert.deepEqual(await seen(tab, 3), [1, 2, 3]);
  assert.deepEqual(published.map(({ topic, repeated }) => [topic, repeated]), Array(3).fill(["a", false]));
  assert.equal(await tab.evaluate(() => sent.filter(({ publish }) => publish).length), 3);
  await tab.evaluate(() => events.pause());
  await tab.evaluate(() => publish("/topics/a", 4, { socket }));
  await tab.evaluate(() => events.resume());
  assert.deepEqual(await seen(tab, 4), [1, 2, 3, 4]);
  assert.equal(await tab.evaluate(() => sent.filter(({ publish }) => publish).length), 3);
});

for (const [what, location, transport] of [
  ["forwards Upgrade", 'proxy_set_header Host $http_host; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";', "websocket"],
  ["does not forward Upgrade", "proxy_set_header Host $http_host;", "sse"],
  // The hub cannot tell that the page is its own.
  ["hides which host was asked", 'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";', "sse"],
]) {
  test(`behind a proxy that ${what}, a page reads by ${transport}`, async (t) => {
    const hub = await Hub.start(t);
    const origin = await nginx(t, hub, location);
    const tab = await page(await (await chromium).newContext(), origin);
    await publish(hub.topic("a"), 0);
    await tab.evaluate(() => void follow(connect("/topics/a", { since: "earliest", transports: [websocket(), "sse", "long-poll", "poll"] })));
    await told(tab, { status: "open", transport });
    for (const n of numbers(20)) await publish(hub.topic("a"), n + 1);
    assert.deepEqual(await seen(tab, 21), numbers(21));
  });
}

test("a page of another origin opens a WebSocket only where the hub names it, with a token in its first message", async (t) => {
  const home = await Hub.start(t);
  const keys = new Keys();
  const hub = await Hub.start(t, "--cors-origins", home.url, ...keys.flags(t));
  const other = await Hub.start(t);
  const tab = await page(await (await chromium).newContext(), home.url);
  const token = keys.token({ subscribe: ["a"], publish: ["a"] });
  await tab.evaluate(([url, token]) => void follow(connect(url, { token: async () => token, transports: [websocket()] })), [hub.topic("a"), token]);
  await told(tab, { status: "open", transport: "websocket" });
  await publish(hub.topic("a"), 1, { token });
  assert.deepEqual(await seen(tab, 1), [1]);
  await tab.evaluate((url) => void follow(connect(url, { transports: [websocket()] })), other.topic("a"));
  await tab.waitForFunction(() => states.some(({ error }) => error?.kind === "stalled"));
});
