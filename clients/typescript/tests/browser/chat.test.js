// examples/chat in Chromium: what its page promises, done; and a page that publishes a stream itself.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { browser, page as client } from "../support/browser.js";
import { Hub, program } from "../support/hub.js";
import { freePort } from "../support/nginx.js";

const example = fileURLToPath(new URL("../../../../examples/chat/", import.meta.url));
/** Where the screenshots of the documentation are to go. */
const { SCREENSHOTS } = process.env;

/** The example, as its one command starts it. */
async function start(t, environment) {
  const ports = { PORT: `${await freePort()}`, HUB_PORT: `${await freePort()}`, MODEL_PORT: `${await freePort()}` };
  const data = mkdtempSync(join(tmpdir(), "tidings-chat-"));
  const env = { ...process.env, TIDINGS: program(), DATA: data, ...ports, ...environment };
  const it = { url: `http://127.0.0.1:${ports.PORT}`, said: [] };
  let changed = () => {};
  it.says = async (pattern) => {
    for (;;) {
      const found = it.said.find((line) => pattern.test(line));
      if (found) return found;
      await new Promise((resolve) => (changed = resolve));
    }
  };
  it.start = async () => {
    it.child = spawn(join(example, "run"), { env, detached: true, stdio: ["ignore", "pipe", "inherit"] });
    it.gone = once(it.child, "exit");
    createInterface(it.child.stdout).on("line", (line) => {
      it.said.push(line);
      changed();
    });
    const failed = it.gone.then(() => Promise.reject(new Error("the example ended before it listened")));
    await Promise.race([it.says(/^open /), failed]);
    failed.catch(() => {});
  };
  // All of it at once, as a machine that loses its power.
  it.kill = async () => {
    try {
      process.kill(-it.child.pid, "SIGKILL");
    } catch {}
    await it.gone;
    it.said.length = 0;
  };
  t.after(async () => {
    await it.kill();
    rmSync(data, { recursive: true });
  });
  await it.start();
  return it;
}

async function open(context, url) {
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  page.on("pageerror", (error) => console.error(error));
  await page.goto(url);
  return page;
}

const shot = async (page, name) => SCREENSHOTS && page.screenshot({ path: join(SCREENSHOTS, `chat-${name}.png`) });
const answers = (page) => page.locator(".assistant").allTextContents();
const answer = async (page) => (await answers(page)).at(-1) ?? "";

/** Waits until the last answer is at least so long, or like this. */
async function until(page, wanted) {
  const is = ([length, pattern]) => {
    const text = [...document.querySelectorAll(".assistant")].at(-1)?.textContent ?? "";
    return text.length >= length && new RegExp(pattern).test(text);
  };
  await page.waitForFunction(is, typeof wanted === "number" ? [wanted, ""] : [0, wanted], { polling: 50 });
  return answer(page);
}

async function ask(page, question) {
  await page.fill("input", question);
  await page.click("button[type=submit]");
}

const ready = (page) => page.waitForSelector("text=Ready.");

test("examples/chat: an answer survives a refresh, a second tab, and a network that goes", async (t) => {
  const it = await start(t, { RATE: "25", LENGTH: "100" });
  const context = await (await browser(t)).newContext({ viewport: { width: 720, height: 560 } });
  const page = await open(context, it.url);
  await ready(page);
  await ask(page, "Is anybody there?");
  const before = await until(page, 60);
  await shot(page, "before-refresh");
  await page.reload();
  // All that was there, and it is still being written.
  await until(page, 0);
  assert.ok((await until(page, before.length)).startsWith(before.slice(0, 60)));
  await shot(page, "after-refresh");
  const second = await open(context, page.url());
  await until(second, before.length);
  await context.setOffline(true);
  await page.waitForSelector("#trouble");
  await context.setOffline(false);
  const whole = await until(page, "\\w\\.$");
  await ready(page);
  await until(second, "\\w\\.$");
  assert.equal(await answer(second), whole);
  assert.match(whole, /^I am not a language model.*You said: "Is anybody there\?"\. And on it goes: a log keeps/);
  await it.says(/generator: done/);
  // A turn that the second tab begins, the first one sees.
  await ready(second);
  await ask(second, "And again?");
  await page.waitForFunction(() => document.querySelectorAll(".assistant").length === 2);
  // The stop button of whichever tab stops the model.
  await until(page, 40);
  await page.click("button[type=button]");
  await it.says(/generator: stopped/);
  for (const tab of [page, second]) await tab.waitForSelector(".end.stopped");
  await shot(page, "stopped");
  assert.deepEqual(await answers(page), await answers(second));
});

test("examples/chat: a restart of everything loses nothing that was written, and says that the answer broke off", async (t) => {
  const it = await start(t, { RATE: "25", LENGTH: "400", GRACE: "1000" });
  const context = await (await browser(t)).newContext({ viewport: { width: 720, height: 560 } });
  const page = await open(context, it.url);
  await ready(page);
  await ask(page, "Hold on");
  const before = await until(page, 150);
  await it.kill();
  await page.waitForSelector("#trouble");
  await it.start();
  const after = await until(page, "The answer broke off \\(aborted\\)\\.$");
  assert.ok(after.startsWith(before.slice(0, 150)), `${before}\n${after}`);
  await ready(page);
  await shot(page, "aborted");
  await ask(page, "Once more");
  await page.waitForFunction(() => document.querySelectorAll(".assistant").length === 2);
  await until(page, 40);
});

for (const [version, start] of [["HTTP/1.1", Hub.start], ["HTTP/2", Hub.startTls]]) {
  test(`a page publishes a stream as it comes, in short requests, over ${version}`, async (t) => {
    const hub = await start(t);
    const tab = await client(await (await browser(t)).newContext(), hub.url);
    await tab.evaluate(() => {
      const readable = new ReadableStream({ start: (controller) => void (globalThis.source = controller) });
      globalThis.published = publishStream("/topics/a", readable, { close: true });
      globalThis.text = "";
      connect("/topics/a", { since: "earliest" }).on("*", ({ data }) => (globalThis.text += data));
    });
    for (const item of ["one ", "two ", "three"]) {
      await tab.evaluate((item) => source.enqueue(item), item);
      await tab.waitForFunction((item) => text.endsWith(item), item);
    }
    const { events, closed } = await tab.evaluate(() => (source.close(), published));
    assert.deepEqual([events, closed, await tab.evaluate(() => text)], [3, true, "one two three"]);
  });
}
