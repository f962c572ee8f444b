// What the guides show for pages, in Chromium: start/javascript.md, guides/notifications.md, guides/dashboard.md, guides/jobs.md.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, describe, test } from "node:test";
import { build } from "esbuild";
import { browser } from "../support/browser.js";
import { root, shows } from "../support/frameworks.js";
import { Hub } from "../support/hub.js";

const chromium = browser({ after });

/** The blocks of a page of docs/, by what stands after their fence. */
function blocks(page, kind) {
  const text = readFileSync(new URL(`../../../../docs/${page}`, import.meta.url), "utf8");
  const found = [...text.matchAll(/^```([^\n]*)\n(.*?)^```$/gms)].filter(([, given]) => given === kind).map(([, , code]) => code);
  assert.ok(found.length, `${page} has lost its blocks`);
  return found;
}

/** A page of the hub's own origin with this body, and then this script. */
async function open(hub, body, script = "") {
  const page = await (await (await chromium).newContext()).newPage();
  page.setDefaultTimeout(60_000);
  page.errors = [];
  page.on("pageerror", (error) => page.errors.push(error));
  await page.route("**/page.html", (route) => route.fulfill({ contentType: "text/html", body: `<!doctype html>${body}` }));
  // What the guides leave to the application.
  await page.route("**/notification-token", (route) => route.fulfill({ body: "" }));
  await page.goto(`${hub.url}/page.html`);
  if (script) {
    const options = { bundle: true, format: "esm", write: false };
    const { outputFiles } = await build({ stdin: { contents: script, resolveDir: root }, ...options });
    await page.addScriptTag({ content: outputFiles[0].text, type: "module" });
  }
  return page;
}

const json = async (hub, topic, data, query = "") => {
  const answer = await fetch(hub.topic(topic) + query, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(data) });
  assert.equal(answer.status, 201);
};

// They wait most of the time.
describe("in Chromium", { concurrency: 4 }, () => {
  test("start/javascript.md: a page without a library shows what a page publishes", async (t) => {
    const hub = await Hub.start(t);
    await hub.publish("orders/1", "by ship");
    const page = await open(hub, blocks("start/javascript.md", "html")[0], blocks("start/javascript.md", "js page")[0]);
    await shows(page, "by ship");
    await shows(page, "by train");
    assert.deepEqual(page.errors, []);
  });

  test("start/javascript.md: a page with the client", async (t) => {
    const hub = await Hub.start(t);
    const page = await open(hub, "");
    const said = [];
    page.on("console", (message) => said.push(message.text()));
    const opened = page.waitForEvent("console", (message) => message.text() === "open");
    const [, script] = blocks("start/javascript.md", "js page");
    const { outputFiles } = await build({ stdin: { contents: script, resolveDir: root }, bundle: true, format: "esm", write: false });
    await page.addScriptTag({ content: outputFiles[0].text, type: "module" });
    await opened;
    const heard = page.waitForEvent("console", (message) => message.text().startsWith("orders/42"));
    await hub.publish("orders/42", "by train", "?event=shipped");
    assert.equal((await heard).text(), "orders/42 by train");
  });

  test("guides/notifications.md: what came while the page was closed", async (t) => {
    const hub = await Hub.start(t);
    await json(hub, "users/7/notifications", { text: "Ann replied to you" });
    const page = await open(hub, '<body data-user="7"><ul id="notifications"></ul>', blocks("guides/notifications.md", "js page")[0].replace("async () => (await fetch(\"/notification-token\")).text()", "async () => (await fetch(\"/notification-token\")).text() || undefined"));
    await shows(page, "Ann replied to you");
    await json(hub, "users/7/notifications", { text: "Bob too" });
    await shows(page, "Bob too");
    assert.deepEqual(page.errors, []);
  });

  test("guides/dashboard.md: the newest value of each machine", async (t) => {
    const hub = await Hub.start(t);
    for (const [machine, cpu] of [["a", 12], ["b", 40], ["a", 13]]) await json(hub, `machines/${machine}`, { cpu });
    const page = await open(hub, "<table><tbody></tbody></table>", blocks("guides/dashboard.md", "js page")[0]);
    await shows(page, "machines/a 13 %");
    await shows(page, "machines/b 40 %");
    await json(hub, "machines/b", { cpu: 41 });
    await shows(page, "machines/b 41 %");
    assert.equal(await page.locator("tr").count(), 2);
    assert.deepEqual(page.errors, []);
  });

  test("guides/jobs.md: a job from its beginning to its end", async (t) => {
    const hub = await Hub.start(t);
    await json(hub, "jobs/17", { percent: 40 }, "?event=progress");
    const page = await open(hub, '<body data-job="17"><progress max="100"></progress><a>report</a>', blocks("guides/jobs.md", "js page")[0]);
    await page.waitForFunction(() => document.querySelector("progress").value === 40);
    await json(hub, "jobs/17", { file: "/reports/17.pdf" }, "?event=done&close=true");
    await page.waitForFunction(() => document.body.dataset.ended === "well");
    assert.equal(await page.locator("a").getAttribute("href"), "/reports/17.pdf");
    assert.deepEqual(page.errors, []);
  });
});
