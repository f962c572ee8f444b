import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const require = createRequire(import.meta.url);
const paths = ["/usr/bin/chromium", "/usr/bin/chromium-browser"];

export async function launch() {
  const executablePath = process.env.CHROMIUM ?? paths.find((path) => existsSync(path));
  assert.ok(executablePath, "there is no chromium here; ./test installs it");
  const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
  return chromium.launch({ executablePath, args: flags });
}

/** A page of its own, with all that went wrong in it. */
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
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
  const beyond = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(beyond <= 0, `${page.url()} is ${beyond} pixels wider than its window`);
}

/** Waits until something in the page says this. */
export const says = (page, selector, pattern) =>
  page.waitForFunction(([selector, pattern]) => [...document.querySelectorAll(selector)].some((element) => new RegExp(pattern).test(element.textContent)), [selector, pattern.source]);
