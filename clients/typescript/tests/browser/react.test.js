// `tidings/react` with the real React, and the recipes of docs/start/react.md with the real Vue and Svelte, in Chromium.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { useEvents, useLatest, useTable, useTextStream } from "tidings/react";
import { browser } from "../support/browser.js";
import { blocks, page, script, shows } from "../support/frameworks.js";
import { Hub } from "../support/hub.js";

const chromium = browser({ after });
const context = async () => (await chromium).newContext();

/** How many read a topic, as the hub sees it. */
async function readers(hub, topic) {
  const { topics } = await (await fetch(`${hub.url}/topics`)).json();
  return topics.find((one) => one.topic === topic)?.subscribers ?? 0;
}

async function until(condition) {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20));
}

const streams = (page) => page.asked.filter((request) => /\/(topics|events)\b/.test(request.url()));

/** A page whose components are the functions of `source`; `show(NAME, props)` renders one, and `show()` none. */
const components = (source) =>
  script(`
    import { StrictMode } from "react";
    import { createRoot } from "react-dom/client";
    import { useEvents, useLatest, useTable, useTextStream } from "tidings/react";
    const all = (() => { ${source} })();
    const root = createRoot(document.getElementById("root"));
    globalThis.show = (name, props) => {
      const One = all[name];
      root.render(<StrictMode>{One && <One {...props} />}</StrictMode>);
    };
  `);

const show = (page, name, props) => page.evaluate(([name, props]) => globalThis.show(name, props), [name, props]);

/** Renders on a server and in the browser, for both sides to be the same. */
const everything = `() => {
  const { events, state } = useEvents("/topics/a");
  const { event } = useLatest("/topics/a");
  const { table } = useTable("/topics/a");
  const { text } = useTextStream("/topics/a");
  return createElement("p", null, [state.status, events.length, event?.data ?? "none", table.size, text.length].join());
}`;

test("a server renders what there is before the first event, opens nothing, and the browser takes over", async (t) => {
  const asked = t.mock.method(globalThis, "fetch");
  const App = new Function("createElement", "useEvents", "useLatest", "useTable", "useTextStream", `return ${everything}`);
  const html = renderToString(createElement(App(createElement, useEvents, useLatest, useTable, useTextStream)));
  assert.equal(html, "<p>connecting,0,none,0,0</p>");
  assert.equal(asked.mock.callCount(), 0);

  const hub = await Hub.start(t);
  await hub.publish("a", "first");
  const tab = await page(await context(), hub, await script(`
    import { createElement } from "react";
    import { hydrateRoot } from "react-dom/client";
    import { useEvents, useLatest, useTable, useTextStream } from "tidings/react";
    const root = document.getElementById("root");
    root.innerHTML = ${JSON.stringify(html)};
    hydrateRoot(root, createElement(${everything}));
  `));
  await shows(tab, "open,0,first,1,5");
  assert.deepEqual(tab.errors, []);
});

// They wait most of the time.
describe("in Chromium", { concurrency: 4 }, () => {
  test("two components in StrictMode share one connection, which closes after the last one", async (t) => {
    const hub = await Hub.start(t);
    await hub.publish("a", "first");
    const tab = await page(await context(), hub, await components(`
      const One = ({ at }) => {
        const { events, state } = useEvents("/topics/a", { since: "earliest", token: () => undefined });
        return <p>{at} {state.status} {events.map(({ data }) => data).join("+")}</p>;
      };
      return { Two: () => <><One at="left" /><One at="right" /></>, One };
    `));
    await show(tab, "Two");
    await shows(tab, "left open first");
    await hub.publish("a", "second");
    await shows(tab, "left open first+second");
    await shows(tab, "right open first+second");
    // Another component in the place of both finds what they have.
    await show(tab, "One", { at: "alone" });
    await shows(tab, "alone open first+second");
    assert.equal(streams(tab).length, 1);
    assert.equal(await readers(hub, "a"), 1);
    await show(tab);
    await until(async () => (await readers(hub, "a")) === 0);
    // And one that comes later begins anew.
    await show(tab, "One", { at: "again" });
    await shows(tab, "again open first+second");
    assert.equal(streams(tab).length, 2);
    assert.deepEqual(tab.errors, []);
  });

  test("a thousand events are a few renders, of the newest that are kept", async (t) => {
    const hub = await Hub.start(t);
    const tab = await page(await context(), hub, await components(`
      globalThis.renders = 0;
      return { App: () => {
        renders++;
        const { events, state } = useEvents("/topics/a", { keep: 3 });
        return <p>{state.status} {events.map(({ data }) => data).join("+")}</p>;
      } };
    `));
    await show(tab, "App");
    await shows(tab, "open");
    const batch = Array.from({ length: 1_000 }, (_, n) => ({ topic: "a", data: n }));
    const answer = await fetch(`${hub.url}/events`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(batch) });
    assert.equal(answer.status, 201);
    await shows(tab, "997+998+999");
    const renders = await tab.evaluate(() => renders);
    t.diagnostic(`${renders} renders`);
    // StrictMode renders twice.
    assert.ok(renders < 400, `${renders} renders`);
  });

  test("the newest event, a table, and a text", async (t) => {
    const hub = await Hub.start(t);
    for (const [topic, data] of [["prices/x", "1"], ["prices/y", "2"], ["prices/x", "3"], ["chat/1", "Hel"], ["chat/1", "lo"]]) await hub.publish(topic, data);
    const tab = await page(await context(), hub, await components(`
      return { App: () => {
        const { event } = useLatest("/topics/prices/*");
        const { table } = useTable("/topics/prices/*");
        const { text, state } = useTextStream("/topics/chat/1");
        const rows = [...table].map(([topic, { data }]) => topic + "=" + data).sort().join();
        return <><p>newest {event?.topic} {event?.data}</p><p>table {rows}</p><p>text {text} {state.status}</p></>;
      } };
    `));
    await show(tab, "App");
    await shows(tab, "newest prices/x 3");
    await shows(tab, "table prices/x=3,prices/y=2");
    assert.ok(streams(tab).some((request) => request.url().includes("conflate=latest")), "older values are sent");
    await shows(tab, "text Hello open");
    await hub.publish("prices/y", "4");
    await shows(tab, "newest prices/y 4");
    await shows(tab, "table prices/x=3,prices/y=4");
    await hub.publish("chat/1", "!", "?close=true");
    await shows(tab, "text Hello! ended");
    assert.deepEqual(tab.errors, []);
  });

  test("nothing is read without a URL, and another user has another subscription", async (t) => {
    const hub = await Hub.start(t);
    await hub.publish("a", "first");
    const tab = await page(await context(), hub, await components(`
      return { App: ({ at, user }) => {
        const { event, state } = useLatest(at, { user, headers: { "x-request-id": user } });
        return <p>{user} {state.status} {event?.data}</p>;
      } };
    `));
    await show(tab, "App", { at: null, user: "ann" });
    await shows(tab, "ann connecting");
    assert.equal(streams(tab).length, 0);
    await show(tab, "App", { at: "/topics/a", user: "ann" });
    await shows(tab, "ann open first");
    await show(tab, "App", { at: "/topics/a", user: "bob" });
    await shows(tab, "bob open first");
    assert.equal(streams(tab).length, 2);
    await until(async () => (await readers(hub, "a")) === 1);
    // Whoever may not read is told so, and nothing is thrown.
    await show(tab, "App", { at: "/topics/%2F", user: "bob" });
    await shows(tab, "bob failed");
  });

  test("two tabs share one connection", async (t) => {
    const hub = await Hub.start(t);
    const both = await context();
    const source = await components(`
      return { App: () => {
        const { events, state } = useEvents("/topics/a", { share: true });
        return <p>{state.status} {events.map(({ data }) => data).join("+")}</p>;
      } };
    `);
    const tabs = [await page(both, hub, source), await page(both, hub, source)];
    for (const tab of tabs) {
      await show(tab, "App");
      await shows(tab, "open");
    }
    await hub.publish("a", "one");
    for (const tab of tabs) await shows(tab, "open one");
    assert.equal(await readers(hub, "a"), 1);
  });

  /** An app of the documentation shows what there is, what comes, and leaves nothing behind. */
  async function recipe(t, text) {
    const hub = await Hub.start(t);
    await hub.publish("orders/1", "paid");
    const tab = await page(await context(), hub, text);
    await shows(tab, "orders/1: paid");
    await shows(tab, "open");
    await hub.publish("orders/2", "shipped");
    await shows(tab, "orders/2: shipped");
    assert.equal(streams(tab).length, 1);
    await tab.evaluate(() => globalThis.leave());
    await until(async () => (await readers(hub, "orders/2")) === 0);
    assert.deepEqual(tab.errors, []);
  }

  test("docs/start/react.md: React", async (t) => {
    await recipe(t, await script(
      `import { StrictMode } from "react";
       import { createRoot } from "react-dom/client";
       import { App } from "./app";
       const root = createRoot(document.getElementById("root"));
       root.render(<StrictMode><App /></StrictMode>);
       globalThis.leave = () => root.unmount();`,
      { app: { contents: blocks("tsx")[0], loader: "tsx" } },
    ));
  });

  test("docs/start/react.md: the other hooks", async (t) => {
    const hub = await Hub.start(t);
    const json = { method: "POST", headers: { "content-type": "application/json" } };
    await fetch(hub.topic("prices/x"), { ...json, body: '{"price":7}' });
    await fetch(hub.topic("jobs/1"), { ...json, body: '{"percent":40}' });
    await hub.publish("chat/1", "Hello");
    const tab = await page(await context(), hub, await script(
      `import { createRoot } from "react-dom/client";
       import { Answer, Job, Prices } from "./more";
       createRoot(document.getElementById("root")).render(
         <><Prices /><Job id="1" user="ann" token={async () => undefined} /><Answer chat="1" /></>);`,
      { more: { contents: blocks("tsx")[1], loader: "tsx" } },
    ));
    await shows(tab, "prices/x: 7");
    await shows(tab, "Hello");
    await tab.waitForFunction(() => document.querySelector("progress")?.value === 40, undefined, { polling: 50 });
  });

  test("docs/start/react.md: Vue", async (t) => {
    const { compileScript, parse } = await import("vue/compiler-sfc");
    const [[composable], [component]] = [blocks("js vue"), blocks("html vue")];
    const { descriptor } = parse(component);
    const { content } = compileScript(descriptor, { id: "app", inlineTemplate: true });
    await recipe(t, await script(
      `import { createApp } from "vue";
       import App from "./app";
       const app = createApp(App);
       app.mount("#root");
       globalThis.leave = () => app.unmount();`,
      { app: { contents: content, loader: "js" }, "events.js": { contents: composable, loader: "js" } },
    ));
  });

  test("docs/start/react.md: Svelte", async (t) => {
    const { compile, compileModule } = await import("svelte/compiler");
    const [[runes], [component]] = [blocks("js svelte"), blocks("html svelte")];
    const { js } = compile(component, { name: "App", generate: "client", filename: "App.svelte" });
    await recipe(t, await script(
      `import { mount, unmount } from "svelte";
       import App from "./app";
       const app = mount(App, { target: document.getElementById("root") });
       globalThis.leave = () => unmount(app);`,
      { app: { contents: js.code, loader: "js" }, "events.svelte.js": { contents: compileModule(runes, { generate: "client", filename: "events.svelte.js" }).js.code, loader: "js" } },
    ));
  });
});
