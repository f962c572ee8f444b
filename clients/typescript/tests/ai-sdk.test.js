// Chats of the AI SDK, as its packages come from npm, over a real hub.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Chat } from "@ai-sdk/react";
import { WorkflowChatTransport } from "@ai-sdk/workflow/client";
import { createUIMessageStreamResponse, DefaultChatTransport } from "ai";
import { publish, publishStream } from "tidings";
import { chatHandler, chatFetch } from "tidings/ai-sdk";
import { Hub } from "./support/hub.js";
import { serve } from "./support/serve.js";
import { source } from "./support/source.js";

const textOf = (message) => message.parts.map(({ text }) => text ?? "").join("");
const user = (text, id = "m1") => ({ id, role: "user", parts: [{ type: "text", text }] });
const deltas = (text) => text.match(/\S+\s*/g).map((delta) => ({ type: "text-delta", id: "t", delta }));
const BEGIN = [{ type: "start", messageId: "answer" }, { type: "start-step" }, { type: "text-start", id: "t" }];
const END = [{ type: "text-end", id: "t" }, { type: "finish-step" }, { type: "finish" }];

/** A hub that is there for as long as something is still to be acknowledged. */
async function start(t) {
  const waiting = [];
  t.after(() => Promise.all(waiting));
  return { hub: await Hub.start(t), waitUntil: (promise) => waiting.push(promise) };
}

/** A chat whose answers a test writes. `instance()` is one more server of it. */
async function chat(t, options = {}) {
  const { hub, waitUntil } = await start(t);
  const asked = [];
  let tell;
  const answer = (request) => {
    const { readable, write, ...more } = source();
    const writes = (...chunks) => chunks.forEach((chunk) => write(chunk));
    // A model stops when it is told so, and its stream ends.
    asked.push({ ...request, ...more, write: writes });
    tell?.();
    return readable;
  };
  const instance = async () => {
    const server = await serve(t, chatHandler(hub.topic("chats"), answer, { grace: 0, waitUntil, ...options }));
    return { ...server, api: `${server.url}/api/chat` };
  };
  const asking = async (count = 1) => {
    while (asked.length < count) await new Promise((resolve) => (tell = resolve));
    return asked[count - 1];
  };
  return { hub, asked, asking, instance };
}

/** The messages of a chat, once they are as wanted. */
async function until(chat, wanted) {
  while (!wanted(chat)) {
    await new Promise((resolve) => {
      const off = [chat["~registerMessagesCallback"](done), chat["~registerStatusCallback"](done)];
      function done() {
        for (const each of off) each();
        resolve();
      }
    });
  }
}

const says = (text) => (chat) => chat.lastMessage && textOf(chat.lastMessage) === text;
const is = (status) => (chat) => chat.status === status;

/** All chunks of a stream of a transport. */
async function all(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

test("`useChat` with `DefaultChatTransport`: an answer is streamed, and a second tab has all of it", async (t) => {
  const { instance, asking } = await chat(t);
  const [one, two] = [await instance(), await instance()];
  const first = new Chat({ id: "c/1", transport: new DefaultChatTransport({ api: one.api }) });
  const sent = first.sendMessage({ text: "hello" });
  const { id, messages, write, end } = await asking();
  assert.deepEqual([id, textOf(messages[0])], ["c/1", "hello"]);
  write(...BEGIN, ...deltas("an answer "));
  await until(first, says("an answer "));
  // `resume: true` does this when the page is there.
  const second = new Chat({ id: "c/1", messages: [user("hello")], transport: new DefaultChatTransport({ api: two.api }) });
  const resumed = second.resumeStream();
  await until(second, says("an answer "));
  write(...deltas("in full"), ...END);
  end();
  await Promise.all([sent, resumed]);
  for (const chat of [first, second]) {
    assert.deepEqual([textOf(chat.lastMessage), chat.lastMessage.id, chat.status, chat.error], ["an answer in full", "answer", "ready", undefined]);
  }
  // Nothing is under way any more.
  await second.resumeStream();
  assert.deepEqual([second.status, second.messages.length], ["ready", 2]);
});

test("a second turn has its own answer, and a chat that has none resumes nothing", async (t) => {
  const { instance, asking } = await chat(t);
  const { api } = await instance();
  const it = new Chat({ id: "c", transport: new DefaultChatTransport({ api }) });
  await it.resumeStream();
  assert.deepEqual([it.status, it.messages], ["ready", []]);
  for (const turn of [1, 2]) {
    const sent = it.sendMessage({ text: `question ${turn}` });
    const { write, end } = await asking(turn);
    write({ ...BEGIN[0], messageId: `answer-${turn}` }, ...BEGIN.slice(1), ...deltas(`answer ${turn}`), ...END);
    end();
    await sent;
    assert.equal(textOf(it.lastMessage), `answer ${turn}`);
  }
  const { turns } = await (await fetch(`${api}/c`)).json();
  assert.deepEqual(
    turns.map(({ message, chunks, active, reason }) => [textOf(message), chunks.filter(({ type }) => type === "text-delta").length, active, reason]),
    [["question 1", 1, false, undefined], ["question 2", 1, false, undefined]],
  );
});

test("what the AI SDK itself makes of a stream is an answer too", async (t) => {
  const { hub, waitUntil } = await start(t);
  const chunks = [...BEGIN, ...deltas("as a response"), ...END];
  const answer = () => createUIMessageStreamResponse({ stream: ReadableStream.from(chunks) });
  const { url } = await serve(t, chatHandler(hub.topic("chats"), answer, { waitUntil }));
  const it = new Chat({ id: "c", transport: new DefaultChatTransport({ api: `${url}/api/chat` }) });
  await it.sendMessage({ text: "hello" });
  assert.deepEqual([textOf(it.lastMessage), it.error], ["as a response", undefined]);
});

test("`stop()` stops the model, for all who read, and only reading it or leaving the page does not", async (t) => {
  const { instance, asking } = await chat(t);
  const [one, two] = [await instance(), await instance()];
  const mine = new Chat({ id: "c", transport: new DefaultChatTransport({ api: one.api, fetch: chatFetch() }) });
  const sent = mine.sendMessage({ text: "hello" });
  const { write, signal, cancelled } = await asking();
  write(...BEGIN, ...deltas("some of "));
  await until(mine, says("some of "));
  // Another page is left: its requests break. (As in StrictMode, one that only begins to resume is aborted, too.)
  const left = new AbortController();
  const page = await chatFetch()(`${two.api}/c/stream`, { signal: AbortSignal.any([left.signal]) });
  await page.body.cancel();
  const begins = new AbortController();
  const resumes = chatFetch()(`${two.api}/c/stream`, { signal: begins.signal });
  begins.abort();
  await assert.rejects(resumes, { name: "AbortError" });
  const other = new Chat({ id: "c", messages: [user("hello")], transport: new DefaultChatTransport({ api: two.api, fetch: chatFetch() }) });
  const resumed = other.resumeStream();
  await until(other, says("some of "));
  assert.equal(signal.aborted, false);
  // The second tab has the stop button as well.
  await other.stop();
  await Promise.all([cancelled, sent, resumed]);
  assert.equal(signal.aborted, true);
  assert.deepEqual([mine.status, textOf(mine.lastMessage), mine.error], ["ready", "some of ", undefined]);
  assert.equal((await fetch(`${two.api}/c/stream`)).status, 204);
  const { turns } = await (await fetch(`${two.api}/c`)).json();
  assert.deepEqual([turns[0].active, turns[0].reason], [false, "stopped"]);
});

test("`stop()` right after sending stops what nobody has seen yet", async (t) => {
  const { instance, asking } = await chat(t);
  const { api } = await instance();
  const it = new Chat({ id: "c", transport: new DefaultChatTransport({ api, fetch: chatFetch() }) });
  void it.sendMessage({ text: "hello" });
  const { cancelled } = await asking();
  await it.stop();
  await cancelled;
  assert.equal(it.status, "ready");
});

test("an answer that breaks off is shown as far as it came, with an error, also after a refresh", async (t) => {
  const errors = [];
  const { instance, asking } = await chat(t, { onError: (error) => errors.push(error.message) });
  const { api } = await instance();
  const it = new Chat({ id: "c", transport: new DefaultChatTransport({ api }) });
  const sent = it.sendMessage({ text: "hello" });
  const { write, fail } = await asking();
  write(...BEGIN, ...deltas("as far as "));
  await until(it, says("as far as "));
  fail(new Error("the model is gone"));
  await sent;
  assert.deepEqual([it.status, textOf(it.lastMessage)], ["error", "as far as "]);
  assert.match(it.error.message, /broke off/);
  assert.deepEqual(errors, ["the model is gone"]);
  const again = new Chat({ id: "c", messages: [user("hello")], transport: new DefaultChatTransport({ api }) });
  await again.resumeStream();
  assert.deepEqual([again.status, textOf(again.lastMessage)], ["error", "as far as "]);
});

test("a handler that throws, a body that is none, a path that is none", async (t) => {
  const { hub, waitUntil } = await start(t);
  const errors = [];
  const broken = () => {
    throw new Error("no key");
  };
  const { url } = await serve(t, chatHandler(hub.topic("chats"), broken, { waitUntil, onError: (error) => errors.push(error.message) }));
  const it = new Chat({ id: "c", transport: new DefaultChatTransport({ api: `${url}/api/chat` }) });
  await it.sendMessage({ text: "hello" });
  assert.deepEqual([it.status, errors], ["error", ["no key"]]);
  const status = async (path, init) => (await fetch(url + path, init)).status;
  assert.equal(await status("/api/chat", { method: "POST", body: "nonsense" }), 400);
  assert.equal(await status("/api/chat", { method: "PUT", body: "{}" }), 405);
  assert.equal(await status("/api/chat/c/stream?startIndex=x"), 400);
  assert.equal(await status("/api/chat/other/stream?startIndex=0"), 404);
  assert.equal(await status("/api/chat/other/stop", { method: "POST" }), 204);
});

test("a hub that is killed is waited for in the middle of an answer", async (t) => {
  const { hub, instance, asking } = await chat(t, { grace: 60_000 });
  const { api } = await instance();
  const it = new Chat({ id: "c", transport: new DefaultChatTransport({ api }) });
  const sent = it.sendMessage({ text: "hello" });
  const { write, end } = await asking();
  write(...BEGIN, ...deltas("before "));
  await until(it, says("before "));
  await hub.kill();
  write(...deltas("meanwhile "));
  await hub.resume();
  write(...deltas("after"), ...END);
  end();
  await sent;
  assert.deepEqual([textOf(it.lastMessage), it.error], ["before meanwhile after", undefined]);
});

test("`WorkflowChatTransport`: where its server goes away, it goes on at another one from the chunk that it has", async (t) => {
  const { instance, asking } = await chat(t, { grace: 60_000 });
  const [one, two] = [await instance(), await instance()];
  t.mock.method(console, "error", () => {});
  // What a load balancer does.
  let at = one;
  const balanced = (url, init) => fetch(`${url}`.replace("http://chat", at.url), init);
  const transport = new WorkflowChatTransport({ api: "http://chat/api/chat", fetch: balanced });
  const it = new Chat({ id: "c", transport });
  const sent = it.sendMessage({ text: "hello" });
  const { write, end } = await asking();
  write(...BEGIN, ...deltas("one two "));
  await until(it, says("one two "));
  at = two;
  one.cut();
  write(...deltas("three"), ...END);
  end();
  await sent;
  assert.deepEqual([textOf(it.lastMessage), it.error], ["one two three", undefined]);
  const [resumed] = two.requests;
  assert.match(resumed, /^GET \/api\/chat\/[^/]+~[0-9a-f]{32}\/stream\?startIndex=5$/);
});

test("`WorkflowChatTransport`: a refresh has the whole, or the last chunks of a run", async (t) => {
  const { instance, asking } = await chat(t);
  const { api, requests } = await instance();
  t.mock.method(console, "warn", () => {});
  const transport = new WorkflowChatTransport({ api });
  const sent = await transport.sendMessages({ chatId: "c", messages: [user("hello")], trigger: "submit-message", body: { id: "c" } });
  const whole = all(sent);
  const { write, end } = await asking();
  const chunks = [...BEGIN, ...deltas("one two three"), ...END];
  write(...chunks.slice(0, 5));
  const resumed = all(await transport.reconnectToStream({ chatId: "c" }));
  write(...chunks.slice(5));
  end();
  assert.deepEqual(await whole, chunks);
  assert.deepEqual(await resumed, chunks);
  // Also what is done: chunks whose start is not among them are the transport's to leave out.
  const tail = await all(await transport.reconnectToStream({ chatId: "c", startIndex: -2 }));
  assert.deepEqual(tail, chunks.slice(-2));
  assert.deepEqual(await all(await transport.reconnectToStream({ chatId: "c", startIndex: 7 })), chunks.slice(7));
  const answer = await fetch(`${api}/c/stream?startIndex=-100`);
  assert.equal(answer.headers.get("x-workflow-stream-tail-index"), `${chunks.length - 1}`);
  assert.match(answer.headers.get("x-workflow-run-id"), /^c~[0-9a-f]{32}$/);
  await answer.body.cancel();
  assert.ok(requests.some((request) => request.endsWith("startIndex=-2")));
});

test("`WorkflowChatTransport`: what was stopped or broke off ends, and is not asked for again and again", async (t) => {
  const { instance, asking } = await chat(t, { onError: () => {} });
  const { api } = await instance();
  const transport = new WorkflowChatTransport({ api });
  const stopped = all(await transport.sendMessages({ chatId: "c", messages: [user("hello")], trigger: "submit-message", body: { id: "c" } }));
  await asking(1);
  await fetch(`${api}/c/stop`, { method: "POST" });
  assert.deepEqual((await stopped).map(({ type }) => type), ["abort", "finish"]);
  const broken = all(await transport.sendMessages({ chatId: "c", messages: [user("hello")], trigger: "submit-message", body: { id: "c" } }));
  (await asking(2)).fail(new Error("gone"));
  assert.deepEqual((await broken).map(({ type }) => type), ["error", "finish"]);
});

test("without a server in between: a transport reads the hub itself", async (t) => {
  const hub = await Hub.start(t);
  const url = `${hub.topic("chat/42")}?as=sse&plain=true&end=[DONE]&since=earliest`;
  const transport = new DefaultChatTransport({ prepareReconnectToStreamRequest: () => ({ api: url }) });
  const chunks = [...BEGIN, ...deltas("from the hub"), ...END];
  const { readable, write, end } = source();
  const published = publishStream(hub.topic("chat/42"), readable, { close: true });
  for (const chunk of chunks) write(chunk);
  // `fetch` of a page and of Node.js asks for `*/*`: it is a stream all the same.
  const it = new Chat({ id: "42", messages: [user("hello")], transport });
  const resumed = it.resumeStream();
  await until(it, says("from the hub"));
  end();
  await Promise.all([published, resumed]);
  assert.deepEqual([it.status, it.error, textOf(it.lastMessage)], ["ready", undefined, "from the hub"]);
  // What has ended is all there, and ends.
  assert.deepEqual(await all(await transport.reconnectToStream({ chatId: "42" })), chunks);
  // What broke off is not taken for complete: it has no `[DONE]`.
  await publish(hub.topic("chat/43"), BEGIN[0]);
  await publish(hub.topic("chat/43"), undefined, { close: true, reason: "aborted" });
  const text = await (await fetch(url.replace("chat/42", "chat/43"))).text();
  assert.match(text, /data: \{"type":"start"/);
  assert.doesNotMatch(text, /\[DONE\]|tidings\./);
});
