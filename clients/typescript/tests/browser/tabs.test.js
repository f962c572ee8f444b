// Several tabs of one browser that share a connection.

import assert from "node:assert/strict";
import { test } from "node:test";
import { publish } from "tidings";
import { browser, page, seen, told } from "../support/browser.js";
import { Hub } from "../support/hub.js";

const numbers = (count) => Array.from({ length: count }, (_, n) => n);

async function tabs(t, hub, count, token) {
  const context = await (await browser(t)).newContext();
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

test("tabs of different users share nothing, and the key shows no token", async (t) => {
  const hub = await Hub.start(t);
  const context = await (await browser(t)).newContext();
  const tokenOf = (claims) => `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.x`;
  const tokens = [tokenOf({ sub: "ann", exp: 1 }), tokenOf({ sub: "ann", exp: 2 }), tokenOf({ sub: "bob" }), "opaque"];
  let tab;
  for (const token of tokens) {
    tab = await page(context, hub.url);
    await tab.evaluate((token) => void follow(share("/topics/a", { share: true, token: async () => token })), token);
    await told(tab, { status: "open" });
  }
  const held = await tab.evaluate(async () => (await navigator.locks.query()).held.map(({ name }) => name));
  assert.equal(new Set(held).size, 3);
  await publish(hub.topic("a"), 1);
  await seen(tab, 1);
  assert.equal(await streams(hub), 3);
  for (const name of held) assert.match(name, /^tidings:[\w+/=]{44}$/);
});
