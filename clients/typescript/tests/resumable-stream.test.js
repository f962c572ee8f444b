// What the npm package `resumable-stream` does, over a real hub; and what it does not.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { createResumableStreamContext } from "tidings/resumable-stream";
import { Hub } from "./support/hub.js";
import { reading, source, whole } from "./support/source.js";

/** Contexts as they would be on several instances of a program. */
async function instances(t, count = 1, options = {}) {
  const waiting = [];
  // The hub is not taken away from what is still to be acknowledged.
  t.after(() => Promise.all(waiting));
  const hub = await Hub.start(t);
  const context = () => createResumableStreamContext({ hub: hub.cleartext, waitUntil: (promise) => waiting.push(promise), ...options });
  return { hub, waiting, contexts: Array.from({ length: count }, context) };
}

test("the first one gets the stream as it is", async (t) => {
  const { contexts: [context], waiting } = await instances(t);
  const { readable, write, end } = source();
  const stream = await context.resumableStream("a", () => readable);
  write("1\n");
  write("");
  write("2\n");
  end();
  assert.equal(await whole(stream), "1\n2\n");
  await Promise.all(waiting);
  assert.equal(waiting.length, 1);
});

test("those who come later get all of it, from every instance, in whichever order they are read", async (t) => {
  const { contexts: [one, two] } = await instances(t, 2);
  const { readable, write, end } = source();
  const streams = [await one.resumableStream("a", () => readable)];
  streams.push(await two.resumableStream("a", assert.fail));
  write("1\n");
  streams.push(await one.resumableStream("a", assert.fail));
  write("2\n");
  streams.push(await two.resumeExistingStream("a"));
  const late = reading(streams[3]);
  await late.until("2\n");
  write("3\n");
  end();
  assert.equal(await late.rest(), "1\n2\n3\n");
  for (const stream of streams.slice(0, 3).reverse()) assert.equal(await whole(stream), "1\n2\n3\n");
});

test("streams of different names have nothing to do with each other, whatever is in the names", async (t) => {
  const { contexts: [context] } = await instances(t);
  const names = ["a", "A", "a/b", "*", "**", "..", "a b?#%2f", "\u00fc\ud83d\ude00", "a".repeat(200), "tidings"];
  for (const name of names) {
    const { readable, write, end } = source();
    assert.equal(await context.hasExistingStream(name), null, name);
    const stream = await context.createNewResumableStream(name, () => readable);
    const other = reading(await context.resumeExistingStream(name));
    write(`of ${name}`);
    await other.until(`of ${name}`);
    end();
    assert.deepEqual([await whole(stream), await other.rest()], [`of ${name}`, `of ${name}`]);
  }
});

test("of many who begin the same at once, one makes it", async (t) => {
  const { contexts } = await instances(t, 8);
  const { readable, write, end } = source();
  let made = 0;
  const make = () => (made++, readable);
  const streams = await Promise.all(contexts.map((context) => context.resumableStream("a", make)));
  write("once");
  end();
  const texts = await Promise.all(streams.map(whole));
  assert.deepEqual([made, ...new Set(texts)], [1, "once"]);
});

test("characters that one has are left out", async (t) => {
  const { contexts: [context] } = await instances(t);
  const { readable, write, end } = source();
  const whole = reading(await context.createNewResumableStream("a", () => readable, 3));
  write("12");
  write("345");
  await whole.until("12345");
  const follow = reading(await context.resumeExistingStream("a", 3));
  await follow.until("45");
  const far = reading(await context.resumableStream("a", assert.fail, 6));
  write("6");
  write("78");
  end();
  assert.deepEqual([await whole.rest(), await follow.rest(), await far.rest()], ["12345678", "45678", "78"]);
});

test("it says whether there is one, and null where it is done", async (t) => {
  const { contexts: [one, two], waiting } = await instances(t, 2);
  const { readable, write, end } = source();
  assert.equal(await one.hasExistingStream("a"), null);
  assert.equal(await one.resumeExistingStream("a"), undefined);
  const stream = await one.createNewResumableStream("a", () => readable);
  assert.equal(await two.hasExistingStream("a"), true);
  write("x");
  end();
  await whole(stream);
  await Promise.all(waiting);
  assert.equal(await two.hasExistingStream("a"), "DONE");
  assert.equal(await two.resumeExistingStream("a"), null);
  assert.equal(await two.resumableStream("a", assert.fail), null);
});

test("a name can be used anew", async (t) => {
  const { contexts: [context] } = await instances(t);
  for (const text of ["one", "two"]) {
    const { readable, write, end } = source();
    const stream = await context.createNewResumableStream("a", () => readable);
    const other = reading(await context.resumeExistingStream("a"));
    write(text);
    await other.until(text);
    end();
    assert.deepEqual([await whole(stream), await other.rest()], [text, text]);
  }
});

test("the stream goes on where its first reader has gone", async (t) => {
  const { contexts: [context] } = await instances(t);
  const { readable, write, end } = source();
  const stream = await context.createNewResumableStream("a", () => readable);
  const other = reading(await context.resumeExistingStream("a"));
  write("1");
  await stream.cancel();
  write("2");
  end();
  assert.equal(await other.rest(), "12");
});

test("a source that fails fails for all who read it", async (t) => {
  const errors = [];
  const { contexts: [context], waiting } = await instances(t, 1, { onError: (error) => errors.push(error.message) });
  const { readable, write, fail } = source();
  const stream = reading(await context.createNewResumableStream("a", () => readable));
  const other = reading(await context.resumeExistingStream("a"));
  write("1");
  await Promise.all([stream.until("1"), other.until("1")]);
  fail(new Error("no more"));
  await assert.rejects(stream.rest(), /no more/);
  await assert.rejects(other.rest(), /died/);
  await Promise.all(waiting);
  assert.deepEqual(errors, ["no more"]);
});

test("a restart of the hub is not seen", async (t) => {
  const { hub, contexts: [context] } = await instances(t);
  const { readable, write, end } = source();
  const stream = reading(await context.createNewResumableStream("a", () => readable));
  const other = reading(await context.resumeExistingStream("a"));
  write("1");
  await other.until("1");
  await hub.kill();
  write("2");
  // Who began it does not need the hub.
  await stream.until("2");
  await hub.resume();
  write("3");
  end();
  assert.deepEqual([await stream.rest(), await other.rest()], ["123", "123"]);
});

/** An instance that can be killed. */
async function producer(hub, name) {
  const file = fileURLToPath(new URL("support/producer.js", import.meta.url));
  const child = spawn(process.execPath, [file, hub.cleartext, name], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  assert.equal((await lines.next()).value, "begun");
  return { write: (text) => child.stdin.write(text), kill: () => child.kill("SIGKILL"), told: async () => (await lines.next()).value };
}

test("what an instance has streamed survives it, and its readers are told that it died", async (t) => {
  const { hub, contexts: [context] } = await instances(t);
  const { write, kill } = await producer(hub, "a");
  const other = reading(await context.resumeExistingStream("a"));
  write("1\n2\n");
  await other.until("2\n");
  kill();
  await assert.rejects(other.rest(), /died/);
  // Also who comes only then.
  const late = reading(await context.resumeExistingStream("a"));
  assert.equal(await late.until("2\n"), "1\n2\n");
  await assert.rejects(late.rest(), /died/);
  assert.equal(await context.hasExistingStream("a"), true);
});

test("a stream is stopped from another instance", async (t) => {
  const { hub, contexts: [context] } = await instances(t);
  const { write, told } = await producer(hub, "a");
  const other = reading(await context.resumeExistingStream("a"));
  write("1\n");
  await other.until("1\n");
  await context.stopStream("a");
  assert.equal(await told(), "cancelled stopped");
  assert.equal(await other.rest(), "1\n");
  assert.equal(await context.hasExistingStream("a"), "DONE");
  await context.stopStream("a");
  await context.stopStream("never begun");
});

test("without a hub it says what is missing, and what of Redis is left is no harm", (t) => {
  delete process.env.TIDINGS_URL;
  assert.throws(() => createResumableStreamContext({ waitUntil: null }), /TIDINGS_URL/);
  process.env.TIDINGS_URL = "http://127.0.0.1:1";
  t.after(() => delete process.env.TIDINGS_URL);
  createResumableStreamContext({ waitUntil: null, publisher: {}, subscriber: {}, doneWatchdogIntervalMs: 1 });
});
