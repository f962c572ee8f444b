// Chromium, with pages that have the client under test.

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const places = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

export async function browser(test) {
  const executablePath = process.env.CHROMIUM ?? places.find((path) => existsSync(path));
  if (!executablePath) throw new Error("Chromium is missing: apt-get install chromium, or name it in CHROMIUM");
  const browser = await chromium.launch({
    executablePath,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      // The certificate of the tests is their own.
      "--ignore-certificate-errors",
    ],
  });
  test.after(() => browser.close());
  return browser;
}

const entry = `
  import * as tidings from "./dist/index.js";
  import { connect as share } from "./dist/share/index.js";
  import { keyOf } from "./dist/share/key.js";
  import { websocket } from "./dist/transports/websocket.js";
  import { EventSource as Strict } from "./dist/eventsource.js";
  Object.assign(globalThis, { ...tidings, share, keyOf, websocket, Strict, seen: [], states: [] });
  globalThis.follow = (events) => {
    events.on("*", (event) => seen.push(event.data));
    events.on("state", (state) => states.push({ ...state, error: state.error && { kind: state.error.kind } }));
    return (globalThis.events = events);
  };
`;

let bundled;
/** The script that the pages have. */
export async function bundle() {
  const resolveDir = fileURLToPath(new URL("../..", import.meta.url));
  bundled ??= build({ stdin: { contents: entry, resolveDir }, bundle: true, format: "iife", write: false });
  return (await bundled).outputFiles[0].text;
}

/** A page of the hub's (or its proxy's) own origin, with the client in it. */
export async function page(context, origin) {
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  page.on("pageerror", (error) => console.error(error));
  // Any page of the origin will do: the script only has to come from there.
  await page.goto(`${origin}/healthz`);
  await page.evaluate(await bundle());
  return page;
}

/** Resolves once the page has seen so many events, with their data. */
export async function seen(page, count) {
  await happens(page, (count) => seen.length >= count, count);
  return page.evaluate(() => seen);
}

/** Resolves once the page was told a state with these fields. */
export async function told(page, fields) {
  const is = (fields) => states.some((state) => Object.keys(fields).every((name) => state[name] === fields[name]));
  await happens(page, is, fields);
}

/** Waits for it, and where it waits in vain says how the page stands. */
async function happens(page, condition, argument) {
  try {
    await page.waitForFunction(condition, argument, { polling: 50 });
  } catch (cause) {
    const stand = await page.evaluate(() => ({ seen: seen.slice(-20), states: states.slice(-20), stored: { ...localStorage } }));
    throw new Error(`waited in vain in ${JSON.stringify(stand)}`, { cause });
  }
}
