// The demos in a real browser: each is the program that its README line starts.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { browser as launch } from "../../clients/typescript/tests/support/browser.js";
import { program } from "../../clients/typescript/tests/support/hub.js";
import { accessible, fits, open, openIn, says } from "./support/page.js";

/** Starts an example, which cargo builds beside the hub. */
async function example(t, name, ...flags) {
  const child = spawn(join(dirname(program()), `example-${name}`), [...flags, "127.0.0.1:0"], { stdio: ["pipe", "pipe", "inherit"] });
  const gone = once(child, "exit");
  t.after(async () => {
    child.kill("SIGKILL");
    await gone;
  });
  for await (const line of createInterface(child.stdout)) return { child, url: line.replace("open ", "") };
  throw new Error(`example-${name} ended before it listened`);
}

test("the machine's load is there when its page is opened, and goes on", async (t) => {
  const { url } = await example(t, "machine");
  const page = await open(await launch(t), url);
  await says(page, "#state", /^open/);
  await says(page, "#busy", /^\d+ %$/);
  await page.waitForFunction(() => document.querySelector("polyline").points.length >= 2);
  await fits(page);
  await accessible(page);
  assert.deepEqual(page.wrong, []);
});

test("a job is followed by long poll to its end, also by who comes late", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "tidings-job-"));
  t.after(() => rmSync(folder, { recursive: true }));
  for (let n = 0; n < 3; n++) writeFileSync(join(folder, `file-${n}`), Buffer.alloc(100_000, n));
  const { url } = await example(t, "progress", folder);
  const browser = await launch(t);
  const page = await open(browser, url);
  await page.click("#begin");
  await says(page, "#state", /over$/);
  assert.equal(await page.textContent("#files"), "3");
  assert.equal(await page.textContent("#bytes"), "300 kB");
  const last = await page.textContent("#last b");
  assert.ok((await page.textContent("#last")).endsWith(createHash("sha256").update(readFileSync(last)).digest("hex")));
  const late = await open(browser, page.url());
  await says(late, "#state", /over$/);
  assert.equal(await late.textContent("#files"), "3");
  await fits(page);
  await accessible(page);
  assert.deepEqual([page.wrong, late.wrong], [[], []]);
});

test("tabs share a connection, and one that is closed takes nothing with it", async (t) => {
  const { child, url } = await example(t, "alerts");
  const context = await (await launch(t)).newContext();
  const tabs = [];
  for (let n = 0; n < 3; n++) {
    tabs.push(await openIn(context, url));
    await says(tabs[n], "#state", /^open$/);
  }
  await says(tabs[2], "#tabs", /^3$/);
  await says(tabs[2], "#connections", /^1$/);
  child.stdin.write("the lift works again\nan error on the third floor\n");
  for (const tab of tabs) {
    await says(tab, "li.notice", /the lift works again$/);
    await says(tab, "li.alert", /an error on the third floor$/);
  }
  await tabs[0].close();
  await tabs[1].getByLabel("Tell everyone").fill("the first tab is gone");
  await tabs[1].getByRole("button", { name: "Alert" }).click();
  for (const tab of tabs.slice(1)) {
    await says(tab, "li.alert", /the first tab is gone$/);
    await says(tab, "#tabs", /^2$/);
    await says(tab, "#connections", /^1$/);
    assert.equal(await tab.locator("li").count(), 4);
    assert.deepEqual(tab.wrong, []);
  }
  await fits(tabs[1]);
  await accessible(tabs[1]);
});

test("a text is left and joined again in the middle, and is whole at its end", async (t) => {
  const licence = readFileSync(new URL("../../LICENSE-MIT", import.meta.url), "utf8");
  const { url } = await example(t, "words", new URL("../../LICENSE-MIT", import.meta.url).pathname);
  const browser = await launch(t);
  const page = await open(browser, url);
  await page.click("#begin");
  const length = () => page.evaluate(() => document.querySelector("#text").textContent.length);
  const longer = (than) => page.waitForFunction((than) => document.querySelector("#text").textContent.length > than, than);
  await longer(40);
  await page.click("#leave");
  await says(page, "#state", /left after \d+ words$/);
  const left = await length();
  const other = await open(browser, page.url());
  await other.waitForFunction((left) => document.querySelector("#text").textContent.length > left + 80, left);
  assert.equal(await length(), left);
  await page.click("#join");
  await longer(left);
  for (const reader of [page, other]) {
    await says(reader, "#state", /the end, after \d+ words$/);
    assert.equal(await reader.textContent("#text"), licence);
  }
  await fits(page);
  await accessible(page);
  assert.deepEqual([page.wrong, other.wrong], [[], []]);
});
