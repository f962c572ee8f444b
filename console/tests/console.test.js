// The console in a real browser, in front of a real hub.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { browser as launch } from "../../clients/typescript/tests/support/browser.js";
import { Hub, program } from "../../clients/typescript/tests/support/hub.js";
import { nginx } from "../../clients/typescript/tests/support/nginx.js";
import { accessible, fits, open, says } from "./support/page.js";

// What ends with this file, and not with one of its tests.
const ends = [];
const file = { after: (end) => ends.push(end) };
after(async () => {
  for (const end of ends.reverse()) await end();
});
const json = { method: "POST", headers: { "Content-Type": "application/json" } };
let hub;
let browser;
before(async () => {
  [hub, browser] = await Promise.all([Hub.start(file), launch(file)]);
  await fetch(`${hub.topic("orders/42")}?event=shipped`, { ...json, body: '{"carrier":"X"}' });
  await hub.publish("orders/43", "paid");
  await hub.publish("sensors/room", "20.5");
});
afterEach(() => Promise.all(browser.contexts().map((context) => context.close())));

const visit = (view, options) => open(browser, `${hub.url}/#${view}`, options);

test("shows the numbers of the hub, and lets its policy stop nothing", async () => {
  const page = await visit("overview");
  await says(page, ".pulse", /^live$/);
  await hub.publish("orders/42", "one more");
  await says(page, ".figures dd", /a second, [1-9]/);
  await says(page, ".facts dd", /^1 to [1-9]/);
  await page.waitForSelector(".plot .line[d^=M]", { state: "attached" });
  assert.match(await page.getAttribute(".plot svg", "aria-label"), /^Events a second: in .*, out /);
  assert.deepEqual(page.wrong, []);
});

test("finds topics by a word and by a selector", async () => {
  const page = await visit("topics");
  const topics = () => page.$$eval(".rows .topic", (names) => names.map((name) => name.textContent));
  await says(page, ".list .note", /topics$/);
  assert.ok((await topics()).includes("sensors/room"));
  await page.getByLabel("Search").fill("ROOM");
  await says(page, ".list .note", /^1 topic$/);
  assert.deepEqual(await topics(), ["sensors/room"]);
  await page.getByLabel("Search").fill("orders/*");
  await page.waitForFunction(() => document.querySelectorAll(".rows li").length === 2);
  assert.deepEqual(await topics(), ["orders/42", "orders/43"]);
  await page.getByLabel("Search").fill("nothing like it");
  await says(page, ".list .note", /^No topic has this/);
});

test("follows a topic: live, filtered, paused, as frames, to its end", async () => {
  await fetch(`${hub.topic("follow/me")}?event=first`, { ...json, body: '{"n":1}' });
  const page = await visit("topics");
  await page.click("text=follow/me");
  await says(page, ".event .data", /^\{"n":1\}$/);
  await says(page, ".state", /^Live by Server-Sent Events$/);
  await says(page, ".heading .tag", /^\d reading$/);
  const { id } = await hub.publish("follow/me", "hello");
  await says(page, ".event .data", /^hello$/);

  await page.click(".event:has-text('hello') summary");
  await says(page, ".detail dd", new RegExp(`^${id}$`));

  await page.getByLabel("Filter").fill("first");
  assert.equal(await page.locator(".event:visible").count(), 1);
  await page.getByLabel("Filter").fill("");

  await page.getByRole("button", { name: "Pause" }).click();
  await says(page, ".state", /^Paused/);
  await hub.publish("follow/me", "while it was paused");
  await page.getByRole("button", { name: "Resume" }).click();
  await says(page, ".event .data", /^while it was paused$/);
  assert.equal(await page.locator(".event").count(), 3);

  await page.getByText("Frames", { exact: true }).click();
  await says(page, ".frames .asked", /^GET \/topics\/follow\/me\?/);
  await says(page, ".frames .body", /^id: .*\ndata: /m);

  await hub.publish("follow/me", "the last one", "?close=true");
  await says(page, ".state", /^Ended/);
  assert.deepEqual(page.wrong, []);
});

test("shows data as it was published, by every transport", async () => {
  const texts = [
    '{"n":12345678901234567890,"price":1.10,"e":1E2}',
    '{"b":1,"a":1,"a":2,"10":0,"2":0}',
    '{ "spaced" : [ 1 ,\t2.00 ] ,"\\u0061":"\\u00fc\\/" , "data": {"events":[{"data":-0.0}]} }',
    "-0",
    "null",
    "[".repeat(5_000) + "]".repeat(5_000),
  ];
  for (const body of texts) assert.equal((await fetch(hub.topic("as/published"), { ...json, body })).status, 201);
  await hub.publish("as/published", '{"n":1.10} as text');
  const expected = [...texts, '{"n":1.10} as text'];
  const page = await visit("topics/as%2Fpublished");
  for (const transport of ["sse", "websocket", "long-poll", "poll"]) {
    await page.getByLabel("Transport", { exact: true }).selectOption(transport);
    await page.waitForFunction((count) => document.querySelectorAll(".event").length === count, expected.length);
    await page.$$eval(".event summary", (rows) => rows.forEach((row) => row.click()));
    await page.waitForFunction((count) => document.querySelectorAll(".detail pre").length === count, expected.length);
    assert.deepEqual((await page.$$eval(".detail pre", (all) => all.map((one) => one.textContent))).reverse(), expected, transport);
    const rows = await page.$$eval(".event .data", (all) => all.map((one) => one.textContent));
    assert.deepEqual(rows.reverse(), expected.map((text) => (text.length > 300 ? `${text.slice(0, 300)}…` : text)), transport);
  }
  await page.getByLabel("Filter").fill("12345678901234567890");
  assert.equal(await page.locator(".event:visible").count(), 1);
  assert.deepEqual(page.wrong, []);
});

test("publishes what is typed as it is, also to topics that no URL can name", async () => {
  for (const topic of ["exact/one", "exact/../two", "exact//three"]) {
    const page = await visit(`topics/${encodeURIComponent(topic)}`);
    await page.click("summary:has-text('Publish')");
    const typed = '{"n":12345678901234567890, "m":1.10}';
    await page.getByLabel("Data", { exact: true }).fill(typed);
    await page.getByText("JSON", { exact: true }).click();
    await page.getByRole("button", { name: "Publish", exact: true }).click();
    await says(page, ".answer strong", /^201 published$/);
    await says(page, ".event .data", /^\{"n":12345678901234567890, "m":1\.10\}$/);
    const answer = await fetch(`${hub.url}/events?topic=${encodeURIComponent(topic)}`);
    assert.ok((await answer.text()).includes(`"data":${typed}`));
    assert.deepEqual(page.wrong, []);
  }
});

test("shows that a reader was told of a gap", async (t) => {
  const hub = await Hub.start(t);
  const page = await open(browser, `${hub.url}/#topics/gaps`);
  await says(page, ".state", /^Live/);
  await hub.kill();
  await says(page, ".pulse", /^away$/);
  await says(page, ".state", /^Waiting \d+ s: /);
  rmSync(join(hub.folder, "log"), { recursive: true });
  await hub.resume();
  await says(page, ".gap", /the cursor is of another log/);
  await says(page, ".pulse", /^live$/);
  await hub.publish("gaps", "after it");
  await says(page, ".event .data", /^after it$/);
  await page.click("nav >> text=Overview");
  await says(page, ".figures .note", /^1 unknown$/);
});

test("publishes, and shows what the hub answers", async () => {
  const page = await visit("topics/from%2Fthe%20page");
  await page.click("summary:has-text('Publish')");
  assert.equal(await page.getByLabel("Topic", { exact: true }).first().inputValue(), "from/the page");
  await page.getByLabel("Event type").fill("greeting");
  await page.getByLabel("Idempotency key").fill("once");
  // A number that a script could not read and write again without a loss.
  await page.getByLabel("Data").fill('{"n": 12345678901234567890}');
  await page.locator(".publisher").getByText("JSON").click();
  await page.click("button:text-is('Publish')");
  await says(page, ".answer strong", /^201 published$/);
  const read = await (await fetch(`${hub.url}/topics/from/the%20page`)).text();
  assert.match(read, /"event":"greeting".*"data":\{"n": 12345678901234567890\}/);

  await page.click("button:text-is('Publish')");
  await says(page, ".answer strong", /^200 known already/);
  await page.getByLabel("Data").fill("{");
  await page.click("button:text-is('Publish')");
  await says(page, ".answer dd", /the data is no JSON/);
  await page.getByLabel("Data").fill("{}");
  await page.click("button:text-is('Publish')");
  await says(page, ".answer strong", /^422 /);
  await page.getByLabel("Idempotency key").fill("");
  await page.getByLabel("Close the topic").check();
  await page.click("button:text-is('Publish')");
  await says(page, ".answer strong", /^201 published$/);
  await says(page, ".state", /^Ended/);
  await page.click("button:text-is('Publish')");
  await says(page, ".answer strong", /^409 /);
});

test("shows the transports side by side", async () => {
  const page = await visit("transports");
  const form = page.locator(".comparison");
  await form.getByLabel("Events").selectOption("10");
  await form.getByLabel("One every").selectOption("100");
  await form.getByLabel("Short poll every").selectOption("500");
  await page.click("text=Publish test events");
  await says(page, ".says", /^Every subscription has every event/);
  const cells = await page.$$eval("tbody tr", (rows) => rows.map((row) => [...row.querySelectorAll(".value")].map((cell) => cell.textContent)));
  for (const delay of cells[0]) assert.match(delay, /^[\d.]+ (ms|s)$/);
  assert.deepEqual(cells[1], ["10", "10", "10", "10"]);
  assert.deepEqual(cells[2].slice(0, 2), ["0.10", "0.10"], "a stream is one request");
  for (const size of cells[3]) assert.match(size, /^\d+ B$/);
  for (const tone of ["sse", "websocket", "long-poll", "poll"]) {
    assert.equal(await page.locator(`.lanes .${tone} .came`).count(), 10);
    assert.ok((await page.locator(`.lanes .${tone} .span`).count()) > 0);
  }
  // What it published is there for everyone.
  const { events } = await (await fetch(`${hub.url}/topics/console/transports`)).json();
  assert.equal(events.length, 10);
  assert.deepEqual(page.wrong, []);
});

test("is light or dark as the system is, or as it is told", async () => {
  const ground = (page) => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const light = await ground(await visit("overview", { colorScheme: "light" }));
  const page = await visit("overview", { colorScheme: "dark" });
  assert.notEqual(await ground(page), light);
  await page.getByText("Light", { exact: true }).click();
  assert.equal(await ground(page), light);
  await page.reload();
  await says(page, ".pulse", /^live$/);
  assert.equal(await ground(page), light);
});

test("fits every window, and breaks no rule of accessibility", async () => {
  for (const colorScheme of ["light", "dark"]) {
    const page = await visit("overview", { colorScheme });
    for (const view of ["overview", "topics", "topics/orders%2F42", "transports"]) {
      await page.goto(`${hub.url}/#${view}`);
      await fits(page);
      await accessible(page);
    }
    await page.close();
  }
});

test("can be used with the keyboard alone", async () => {
  const page = await visit("overview");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => location.hash), "#topics");
  await page.getByLabel("Search").focus();
  await page.keyboard.type("any/thing/at/all");
  await page.keyboard.press("Enter");
  await says(page, ".selector", /^any\/thing\/at\/all$/);
});

test("asks for a token, keeps it in the tab alone, and makes do with what it covers", async (t) => {
  const guarded = await Hub.start(t);
  await guarded.kill();
  const secret = join(guarded.folder, "secret");
  writeFileSync(secret, "a secret of thirty-two bytes, or a few more");
  guarded.flags = ["--auth-hs256-secret-file", secret];
  await guarded.resume();
  const token = (...rights) => String(execFileSync(program(), ["token", "--auth-hs256-secret-file", secret, ...rights])).trim();
  const page = await open(browser, guarded.url);
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  await accessible(page);
  await page.getByLabel("Bearer token").fill("two words");
  await page.keyboard.press("Enter");
  await says(page, "dialog .problem", /one word/);

  // A token that covers topics, and no metrics.
  await page.getByLabel("Bearer token").fill(token("--subscribe", "**", "--publish", "allowed/*"));
  await page.keyboard.press("Enter");
  await says(page, ".notice", /cannot be read/);
  await page.click("nav >> text=Topics");
  await says(page, ".state", /^Live by Server-Sent Events$/);
  await page.click("summary:has-text('Publish')");
  await page.locator(".publisher").getByLabel("Topic", { exact: true }).fill("forbidden/a");
  await page.click("button:text-is('Publish')");
  await says(page, ".answer strong", /^403 /);
  await page.locator(".publisher").getByLabel("Topic", { exact: true }).fill("allowed/a");
  await page.click("button:text-is('Publish')");
  await says(page, ".answer strong", /^201 published$/);
  await says(page, ".event .topic", /^allowed\/a$/);

  // One that covers both, given without being asked for.
  await page.getByRole("button", { name: "Token set" }).click();
  const everything = token("--subscribe", "**", "--metrics");
  await page.getByLabel("Bearer token").fill(`Bearer ${everything}`);
  await page.getByRole("button", { name: "Use this token" }).click();
  await says(page, ".pulse", /^live$/);
  assert.deepEqual(await page.evaluate(() => [Object.values(localStorage), Object.values(sessionStorage), document.cookie]), [[], [everything], ""]);
  assert.ok(!page.url().includes(everything.slice(0, 8)));
  const other = await open(browser, guarded.url);
  await other.getByRole("dialog").waitFor();
});

test("works behind a proxy, under a prefix", async (t) => {
  const proxy = await nginx(t, hub, `rewrite ^/push/(.*)$ /$1 break; if ($uri !~ ^/push/) { return 404; }`);
  const page = await open(browser, `${proxy}/push/`);
  await says(page, ".pulse", /^live$/);
  await page.click("nav >> text=Topics");
  await page.click("text=orders/43");
  await says(page, ".event .data", /^paid$/);
  assert.deepEqual(page.wrong, []);
});

test("is not there where it is turned off", async (t) => {
  const without = await Hub.start(t, "--no-console");
  const answer = await fetch(`${without.url}/`);
  assert.equal(answer.status, 404);
  assert.equal(answer.headers.get("content-type"), "application/problem+json");
});
