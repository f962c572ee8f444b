// What every test of a page needs, beside the hub and the browser that the client's tests have.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

/** Opens a page of its own, with all that goes wrong in it. */
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  return openIn(context, url);
}

/** Opens one more page, as another tab of the same browser. */
export async function openIn(context, url) {
  const page = await context.newPage();
  // A machine that is busy takes its time.
  page.setDefaultTimeout(90_000);
  page.wrong = [];
  page.on("pageerror", (error) => page.wrong.push(String(error)));
  page.on("console", (message) => message.type() === "error" && page.wrong.push(message.text()));
  await page.goto(url);
  return page;
}

/** Fails where a page breaks a rule of accessibility that a program can check. */
export async function accessible(page) {
  await page.evaluate(readFileSync(require.resolve("axe-core/axe.min.js"), "utf8"));
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html}\n  ${failureSummary}`).join("\n")}`);
  assert.deepEqual(told, []);
}

/** Fails where a page is wider than its window. */
export async function fits(page) {
  for (const width of [360, 768, 1440]) {
    await page.setViewportSize({ width, height: 800 });
    const beyond = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(beyond <= 0, `${page.url()} is ${beyond} pixels wider than a window of ${width}`);
  }
}

/** Waits until something in the page says this. */
export const says = (page, selector, pattern) =>
  page.waitForFunction(([selector, pattern]) => [...document.querySelectorAll(selector)].some((element) => new RegExp(pattern, "m").test(element.textContent)), [selector, pattern.source]);
