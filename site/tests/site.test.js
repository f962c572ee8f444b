// The site in Chromium, opened from the disk: search works without a server, and no page is wider than a phone.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { browser } from "../../clients/typescript/tests/support/browser.js";

const chromium = browser({ after });
const site = pathToFileURL(`${process.env.SITE}/`);
/** Where screenshots are to go. */
const { SCREENSHOTS } = process.env;

async function open(path, options) {
  const page = await (await (await chromium).newContext(options)).newPage();
  page.setDefaultTimeout(60_000);
  page.asked = [];
  page.on("request", (request) => page.asked.push(request.url()));
  page.errors = [];
  page.on("pageerror", (error) => page.errors.push(error));
  await page.goto(new URL(path, site).href);
  return page;
}

const wide = { viewport: { width: 1280, height: 900 } };
const narrow = { viewport: { width: 375, height: 800 } };

test("search finds a word, without a server", async () => {
  const page = await open("index.html", wide);
  await page.locator("input.md-search__input").click();
  await page.locator("input.md-search__input").pressSequentially("idempotency");
  const result = page.locator(".md-search-result__item a").first();
  await result.waitFor();
  if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/search.png` });
  await result.click();
  await page.waitForURL(/\?h=/);
  assert.match(await page.locator("article").innerText(), /idempotency/i);
  assert.deepEqual(page.errors, []);
});

const pages = ["index.html", "start/react.html", "concepts.html", "reference/settings.html", "comparison.html", "protocol.html"];

describe("in each width and colour", { concurrency: 2 }, () => {
  for (const [name, options] of [
    ["wide", wide],
    ["narrow", narrow],
  ]) {
    // Each once will do; pictures are wanted of all four.
    for (const colorScheme of SCREENSHOTS ? ["light", "dark"] : [name === "wide" ? "dark" : "light"]) {
      test(`${name} and ${colorScheme}`, async () => {
        const page = await open(pages[0], { ...options, colorScheme });
        for (const path of pages) {
          await page.goto(new URL(path, site).href);
          const [content, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
          assert.ok(content <= room, `${path} is ${content} px wide, of ${room}`);
          const scheme = await page.evaluate(() => document.body.getAttribute("data-md-color-scheme"));
          assert.equal(scheme, colorScheme === "dark" ? "slate" : "default");
          if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/${path.replace(/\W/g, "-")}-${name}-${colorScheme}.png` });
        }
        // Nothing but files.
        assert.deepEqual(page.asked.filter((url) => !/^(file|data|blob):/.test(url)), []);
        assert.deepEqual(page.errors, []);
      });
    }
  }
});
