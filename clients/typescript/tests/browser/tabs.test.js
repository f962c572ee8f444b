// Several tabs of one browser that share a connection.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { publish } from "tidings";
import { browser, bundle, page, seen, told } from "../support/browser.js";
import { Hub } from "../support/hub.js";
import { Keys } from "../support/keys.js";

/** One for all of these; each test has a context of its own. */
const chromium = browser({ after });
const numbers = (count) => Array.from({ length: count }, (_, n) => n);

async function tabs(t, hub, count, token) {
  const context = await (await chromium).newContext();
  const tabs = [];
  for (const _ of numbers(count)) {
    const tab = await page(context, hub.url);
    await tab.evaluate((token) => void follow(share("/topics/a", { share: true, token, heartbeat: 1_000 })), token);
    await told(tab, { status: "open" });
    tabs.push(tab);
  }
  return tabs;
}

/** Which of the tabs leads: the one whose page holds the lock. */
async function leaderOf(tabs) {
  for (;;) {
    for (const tab of tabs) {
      const leads = await tab.evaluate(async () => {
        const { held } = await navigator.locks.query();
        const mine = await new Promise((resolve) =>
          navigator.locks.request(`probe-${Math.random()}`, async ({ name }) => {
            const { held } = await navigator.locks.query();
            resolve(held.find((lock) => lock.name === name).clientId);
          }),
        );
        return held.some(({ name, clientId }) => name.startsWith("tidings:") && clientId === mine);
      });
      if (leads) return tab;
    }
  }
}

/** How many streams the hub has open. */
async function streams(hub) {
  const { topics } = await (await fetch(`${hub.url}/topics`)).json();
  return topics.find(({ topic }) => topic === "a")?.subscribers;
}

async function load(hub, from, to) {
  for (let n = from; n < to; n++) await publish(hub.topic("a"), n);
}

test("seven tabs on HTTP/1.1 share one connection, and each has every event once", async (t) => {
  const hub = await Hub.start(t);
  const all = await tabs(t, hub, 7);
  await load(hub, 0, 100);
  for (const tab of all) assert.deepEqual(await seen(tab, 100), numbers(100));
  assert.equal(await streams(hub), 1);
  // All have their cursor at the last event.
  const cursors = await Promise.all(all.map((tab) => tab.evaluate(() => events.cursor)));
  assert.equal(new Set(cursors).size, 1);
});

test("the leading tab closes under load, and no tab loses or repeats an event", async (t) => {
  const hub = await Hub.start(t);
  let all = await tabs(t, hub, 4);
  const publishing = load(hub, 0, 400);
  for (const count of [60, 160]) {
    await seen(all[0], count);
    const leader = await leaderOf(all);
    await leader.close();
    all = all.filter((tab) => tab !== leader);
    await seen(all[0], count);
  }
  await publishing;
  for (const tab of all) assert.deepEqual(await seen(tab, 400), numbers(400));
  assert.equal(await streams(hub), 1);
});

test("the leading tab freezes, and another takes over; thawed, it has everything once", async (t) => {
  const hub = await Hub.start(t);
  const all = await tabs(t, hub, 3);
  await load(hub, 0, 20);
  for (const tab of all) await seen(tab, 20);
  const leader = await leaderOf(all);
  const rest = all.filter((tab) => tab !== leader);
  // The browser itself freezes no page that holds a lock. A debugger does: no script of the page runs any more,
  // while its lock and its connection stay.
  const session = await leader.context().newCDPSession(leader);
  await session.send("Debugger.enable");
  const frozen = new Promise((resolve) => session.once("Debugger.paused", resolve));
  await session.send("Debugger.pause");
  // Something has to run for the debugger to stop it.
  leader.evaluate(() => 0).catch(() => {});
  await frozen;
  await load(hub, 20, 40);
  for (const tab of rest) assert.deepEqual(await seen(tab, 40), numbers(40));
  assert.ok(rest.includes(await leaderOf(rest)));
  await session.send("Debugger.resume");
  await session.send("Debugger.disable");
  await load(hub, 40, 60);
  for (const tab of all) assert.deepEqual(await seen(tab, 60), numbers(60));
});

test("the hub is killed under the tabs, and each is told why, and has every event once", async (t) => {
  const hub = await Hub.start(t);
  const all = await tabs(t, hub, 3);
  const publishing = load(hub, 0, 200);
  await seen(all[0], 50);
  await hub.kill();
  for (const tab of all) await told(tab, { status: "waiting" });
  await hub.resume();
  await publishing;
  for (const tab of all) assert.deepEqual(await seen(tab, 200), numbers(200));
});

test("a tab that is paused holds up nobody, and reads what it missed", async (t) => {
  const hub = await Hub.start(t);
  const all = await tabs(t, hub, 3);
  const leader = await leaderOf(all);
  await leader.evaluate(() => events.pause());
  const rest = all.filter((tab) => tab !== leader);
  await load(hub, 0, 50);
  for (const tab of rest) assert.deepEqual(await seen(tab, 50), numbers(50));
  await leader.evaluate(() => events.resume());
  assert.deepEqual(await seen(leader, 50), numbers(50));
});

test("a topic that ends ends in all tabs", async (t) => {
  const hub = await Hub.start(t);
  const all = await tabs(t, hub, 3);
  await publish(hub.topic("a"), 1);
  await publish(hub.topic("a"), 2, { close: true });
  for (const tab of all) {
    await told(tab, { status: "ended" });
    assert.deepEqual(await seen(tab, 2), [1, 2]);
  }
});

test("what cannot be passed on, each tab reads for itself", async (t) => {
  const hub = await Hub.start(t);
  const context = await (await chromium).newContext();
  const all = [];
  for (const _ of numbers(3)) {
    const tab = await page(context, hub.url);
    await tab.evaluate(() => {
      // Deep data is more than this test can take out of a page; how deep it is, is not.
      const depth = (data) => {
        let depth = 0;
        for (; Array.isArray(data); depth++) [data] = data;
        return depth;
      };
      const events = share("/topics/a", { share: true, heartbeat: 1_000 });
      events.on("state", ({ status, transport }) => states.push({ status, transport }));
      events.on("*", ({ data }) => seen.push(typeof data === "number" ? data : depth(data)));
    });
    await told(tab, { status: "open" });
    all.push(tab);
  }
  const deep = `${"[".repeat(5_000)}${"]".repeat(5_000)}`;
  await publish(hub.topic("a"), 1);
  await publish(hub.topic("a"), deep, { json: true });
  await publish(hub.topic("a"), 2);
  for (const tab of all) assert.deepEqual(await seen(tab, 3), [1, 5_000, 2]);
  const leader = await leaderOf(all);
  await leader.close();
  await publish(hub.topic("a"), deep, { json: true, close: true });
  for (const tab of all.filter((tab) => tab !== leader)) {
    assert.deepEqual(await seen(tab, 4), [1, 5_000, 2, 5_000]);
    await told(tab, { status: "ended" });
  }
});

test("a frame that is refused locks has a connection of its own", async (t) => {
  const hub = await Hub.start(t, "--cors-origins", "*");
  const tab = await page(await (await chromium).newContext(), hub.url);
  await hub.publish("a", "1");
  const script = await bundle();
  await tab.evaluate(
    ([url, script]) => {
      const frame = document.createElement("iframe");
      // Without `allow-same-origin`, its origin is none that could share anything.
      frame.sandbox = "allow-scripts";
      frame.srcdoc = `<script>${script.replaceAll("</script", "<\\/script")}
        share(${JSON.stringify(url)}, { share: true, since: "earliest" }).on("*", ({ data }) => parent.postMessage(data, "*"));
      </script>`;
      addEventListener("message", ({ data }) => seen.push(data));
      document.body.append(frame);
    },
    [hub.topic("a"), script],
  );
  await seen(tab, 1);
  await publish(hub.topic("a"), 2);
  assert.deepEqual(await seen(tab, 2), ["1", 2]);
});

test("tabs of different users share nothing, and the key shows no token", async (t) => {
  const hub = await Hub.start(t);
  const context = await (await chromium).newContext();
  const tokenOf = (claims) => `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.x`;
  const tokens = [tokenOf({ sub: "ann", exp: 1 }), tokenOf({ sub: "ann", exp: 2 }), tokenOf({ sub: "bob" }), "opaque"];
  let tab;
  for (const token of tokens) {
    tab = await page(context, hub.url);
    await tab.evaluate((token) => void follow(share("/topics/a", { share: true, token: async () => token })), token);
    await told(tab, { status: "open" });
  }
  // Who it is may stand in a header as well.
  for (const name of ["ann", "bob", "ann"]) {
    tab = await page(context, hub.url);
    await tab.evaluate((name) => void follow(share("/topics/a", { share: true, headers: { "X-User": name } })), name);
    await told(tab, { status: "open" });
  }
  const held = await tab.evaluate(async () => (await navigator.locks.query()).held.map(({ name }) => name));
  assert.equal(new Set(held).size, 5);
  await publish(hub.topic("a"), 1);
  await seen(tab, 1);
  assert.equal(await streams(hub), 5);
  for (const name of held) assert.match(name, /^tidings:[\w+/=]{44}$/);
});

test("a tab that is not where its leader is takes nothing twice and passes nothing over", async (t) => {
  const hub = await Hub.start(t);
  const context = await (await chromium).newContext();
  // A page that leads by the rules, but says what this test wants: tabs that are out of step are rare otherwise.
  const leader = await page(context, hub.url);
  await leader.evaluate(async () => {
    const key = await keyOf(new URL("/topics/a", location.href));
    globalThis.channel = new BroadcastChannel(key);
    await new Promise((held) => {
      // In the end it is taken away.
      navigator.locks.request(key, () => (held(), new Promise(() => {}))).catch(() => {});
    });
  });
  const say = (message) => leader.evaluate((message) => channel.postMessage(message), message);
  const publishAll = async (...data) => {
    const steps = [];
    for (const one of data) {
      const { id, topic, time } = await publish(hub.topic("a"), one);
      steps.push({ cursor: id, event: { id, topic, time, data: one }, size: 10 });
    }
    return steps;
  };
  const first = await publishAll(1, 2, 3);
  const tab = await page(context, hub.url);
  await tab.evaluate(() => void follow(share("/topics/a", { share: true, since: "earliest", heartbeat: 1_000 })));
  assert.deepEqual(await seen(tab, 3), [1, 2, 3]);

  // The leader is behind, and tells again what the tab has.
  const second = await publishAll(4);
  await say({ from: first[0].cursor, steps: [...first.slice(1), ...second] });
  assert.deepEqual(await seen(tab, 4), [1, 2, 3, 4]);

  // The leader is ahead: what it told before is read from the hub.
  const [, , third] = await publishAll(5, 6, 7);
  await say({ from: "ahead", steps: [] });
  assert.deepEqual(await seen(tab, 7), [1, 2, 3, 4, 5, 6, 7]);
  const [, fourth] = await publishAll(8, 9);
  await say({ from: third.cursor.replace(/-.*/, "-8"), steps: [fourth] });
  assert.deepEqual(await seen(tab, 9), [1, 2, 3, 4, 5, 6, 7, 8, 9]);

  // The leader is in a log that the hub does not have.
  const stray = { cursor: "another1-7", event: { id: "another1-7", topic: "a", time: "", data: "stray" }, size: 10 };
  await say({ from: "another1-6", steps: [stray] });
  const [fifth] = await publishAll(10);
  await say({ from: fourth.cursor, steps: [fifth] });
  assert.deepEqual(await seen(tab, 10), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);

  // The leader says nothing any more, and keeps its lock.
  await told(tab, { status: "open" });
  await publishAll(11);
  assert.deepEqual(await seen(tab, 11), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  assert.equal(await leaderOf([tab, leader]), tab);
});

test("a tab whose loop is slow holds up nobody, and has every event in the end", async (t) => {
  const hub = await Hub.start(t);
  const all = await tabs(t, hub, 1);
  const slow = await page(all[0].context(), hub.url);
  await slow.evaluate(() => {
    globalThis.pulled = [];
    globalThis.events = share("/topics/a", { share: true, buffer: 3 });
    events.on("state", (state) => states.push(state));
    (async () => {
      for await (const { data } of events) {
        pulled.push(data);
        if (pulled.length === 1) await new Promise((resolve) => (globalThis.goOn = resolve));
      }
    })();
  });
  await told(slow, { status: "open" });
  await load(hub, 0, 100);
  assert.deepEqual(await seen(all[0], 100), numbers(100));
  assert.deepEqual(await slow.evaluate(() => pulled), [0]);
  await slow.evaluate(() => goOn());
  await slow.waitForFunction(() => pulled.length >= 100);
  assert.deepEqual(await slow.evaluate(() => pulled), numbers(100));
});

test("a tab whose token becomes another's goes on with no connection but its own", async (t) => {
  const keys = new Keys();
  const hub = await Hub.start(t, ...keys.flags(t));
  const token = keys.token({ publish: ["**"] });
  const say = (data) => publish(hub.topic("a"), data, { token });
  const context = await (await chromium).newContext();
  // Bob's token takes as long as this test wants.
  let release;
  const released = new Promise((resolve) => (release = resolve));
  let asked;
  const askedForBob = new Promise((resolve) => (asked = resolve));
  await context.exposeFunction("mint", async (subject) => {
    if (subject === "ann") return keys.token({ subject, subscribe: ["a"], seconds: 2 });
    asked();
    await released;
    return keys.token({ subject, subscribe: ["b"] });
  });
  const all = [];
  for (const _ of numbers(3)) {
    const tab = await page(context, hub.url);
    await tab.evaluate(() => {
      globalThis.user = "ann";
      follow(share("/topics/a", { share: true, token: () => mint(user), heartbeat: 1_000, firstByte: 60_000 }));
    });
    await told(tab, { status: "open" });
    all.push(tab);
  }
  const leader = await leaderOf(all);
  const [follower, other] = all.filter((tab) => tab !== leader);
  await say(1);
  for (const tab of all) assert.deepEqual(await seen(tab, 1), [1]);

  // One that follows becomes Bob's. When the leader asks for its next token, so do the others.
  await follower.evaluate(() => (user = "bob"));
  await askedForBob;
  await say(2);
  for (const tab of [leader, other]) assert.deepEqual(await seen(tab, 2), [1, 2]);
  release();
  await told(follower, { status: "failed" });
  assert.deepEqual(await seen(follower, 1), [1]);

  // The leader becomes Bob's, and the one that is left takes over.
  await leader.evaluate(() => (user = "bob"));
  await told(leader, { status: "failed" });
  await say(3);
  assert.deepEqual(await seen(other, 3), [1, 2, 3]);
  assert.deepEqual(await seen(leader, 2), [1, 2]);
  assert.equal(await leaderOf([other]), other);
});

test("a token that cannot be had for a while ends no sharing", async (t) => {
  const keys = new Keys();
  const hub = await Hub.start(t, ...keys.flags(t));
  const token = keys.token({ publish: ["**"] });
  const context = await (await chromium).newContext();
  let away = true;
  await context.exposeFunction("mint", (subject) => {
    if (away) throw new Error("no session");
    return keys.token({ subject, subscribe: ["a"] });
  });
  const all = [];
  for (const _ of numbers(3)) {
    const tab = await page(context, hub.url);
    await tab.evaluate(() => void follow(share("/topics/a", { share: true, token: () => mint("ann") })));
    await told(tab, { status: "waiting" });
    all.push(tab);
  }
  away = false;
  for (const tab of all) await told(tab, { status: "open" });
  await publish(hub.topic("a"), 1, { token });
  for (const tab of all) assert.deepEqual(await seen(tab, 1), [1]);
  const held = await all[0].evaluate(async () => (await navigator.locks.query()).held.map(({ name }) => name));
  assert.equal(held.length, 1);
});

test("a tab that is told that it is open has what is published from then on", async (t) => {
  const hub = await Hub.start(t);
  const [leader] = await tabs(t, hub, 1);
  const tab = await page(leader.context(), hub.url);
  const firsts = await tab.evaluate(async () => {
    const firsts = [];
    for (let n = 0; n < 20; n++) {
      const events = share("/topics/a", { share: true });
      const first = new Promise((resolve) => events.on("*", ({ data }) => resolve(data)));
      await new Promise((resolve) => events.on("state", ({ status }) => status === "open" && resolve()));
      await publish("/topics/a", n);
      firsts.push(await first);
      events.close();
    }
    return firsts;
  });
  assert.deepEqual(firsts, numbers(20));
});

test("tabs share a WebSocket, and the next one that leads opens another", async (t) => {
  const hub = await Hub.start(t);
  const context = await (await chromium).newContext();
  let all = [];
  for (const _ of numbers(3)) {
    const tab = await page(context, hub.url);
    await tab.evaluate(() => {
      globalThis.socket = websocket();
      follow(share("/topics/a", { share: true, heartbeat: 1_000, transports: [socket, "sse"] }));
    });
    await told(tab, { status: "open", transport: "websocket" });
    all.push(tab);
  }
  const publishing = load(hub, 0, 150);
  await seen(all[0], 40);
  const leader = await leaderOf(all);
  // Whoever does not lead has no socket, and publishes over HTTP.
  const [follower] = all.filter((tab) => tab !== leader);
  for (const tab of [leader, follower]) await tab.evaluate(() => publish("/topics/b", 1, { socket }));
  await leader.close();
  all = all.filter((tab) => tab !== leader);
  await publishing;
  for (const tab of all) assert.deepEqual(await seen(tab, 150), numbers(150));
  assert.equal(await streams(hub), 1);
});
