import assert from "node:assert/strict";
import { test } from "node:test";
import { publish, publishStream } from "tidings";
import { text } from "tidings/text";
import { Hub } from "./support/hub.js";
import { begin, events, script } from "./support/script.js";
import { source } from "./support/source.js";

/** What a text says, up to where it is as wanted. */
async function until(texts, wanted) {
  for (;;) {
    const { done, value } = await texts.next();
    assert.ok(!done, `it ended before ${wanted}`);
    if (value.includes(wanted)) return value;
  }
}

test("a text is there as far as it is, goes on, and ends with its topic", async (t) => {
  const hub = await Hub.start(t);
  const { readable, write, end } = source();
  const published = publishStream(hub.topic("a"), readable, { close: true });
  const first = text(hub.topic("a"))[Symbol.asyncIterator]();
  for (let n = 0; n < 500; n++) write(`${n} `);
  write("\ud83d\ude00");
  const all = Array.from({ length: 500 }, (_, n) => `${n} `).join("") + "\ud83d\ude00";
  assert.equal(await until(first, "\ud83d\ude00"), all);
  // Who comes late has it whole, at once where the hub joins what is there.
  const late = text(new URL(hub.topic("a")));
  const told = late[Symbol.asyncIterator]();
  assert.equal(await until(told, "\ud83d\ude00"), all);
  write(" more");
  end();
  await published;
  for (const texts of [first, told]) {
    assert.equal(await until(texts, "more"), `${all} more`);
    assert.equal((await texts.next()).done, true);
  }
  assert.deepEqual([late.value, late.state], [`${all} more`, { status: "ended" }]);
});

test("whoever listens is told each change, and why it ended", async (t) => {
  const hub = await Hub.start(t);
  await publish(hub.topic("a"), "some");
  const it = text(`${hub.topic("a")}?event=message`);
  const told = [];
  let stopped;
  const ended = new Promise((resolve) => {
    it.on((text, state) => {
      told.push(text);
      if (text === "some" && !stopped) stopped = publish(hub.topic("a"), undefined, { close: true, reason: "stopped" });
      if (state.status === "ended") resolve(state);
    });
  });
  assert.deepEqual(await ended, { status: "ended", reason: "stopped" });
  assert.equal(told.at(-1), "some");
});

test("what counts as text is for the caller to say", async (t) => {
  const hub = await Hub.start(t);
  await publish(hub.topic("a"), { choices: [{ delta: { content: "in " } }] });
  await publish(hub.topic("a"), new Uint8Array([1]));
  await publish(hub.topic("a"), { choices: [{ delta: { content: "JSON" } }] }, { close: true });
  const pick = ({ data }) => data?.choices?.[0].delta.content;
  const all = [];
  for await (const soFar of text(hub.topic("a"), { pick })) all.push(soFar);
  assert.equal(all.at(-1), "in JSON");
  const none = [];
  for await (const soFar of text(hub.topic("a"))) none.push(soFar);
  assert.deepEqual(none, []);
});

test("after a gap it begins anew, and a failure is thrown", async (t) => {
  const block = (id, data) => `id: aaaaaa-${id}\ndata: ${JSON.stringify({ id: `aaaaaa-${id}`, topic: "t", time: "2026-11-24T00:00:00Z", data })}\n\n`;
  const gap = { reason: "expired", since: "aaaaaa-1", resumed: "aaaaaa-8" };
  const server = await script(
    t,
    events(begin(), block(1, "one "), `event: tidings.gap\nid: aaaaaa-8\ndata: ${JSON.stringify(gap)}\n\n`, block(9, "nine")),
  );
  const texts = text(server.url)[Symbol.asyncIterator]();
  assert.equal(await until(texts, "nine"), "nine");
  await texts.return();
  const refused = await script(t, (response) => {
    response.writeHead(403, { "content-type": "application/problem+json" });
    response.end('{"type":"urn:tidings:forbidden"}');
  });
  await assert.rejects(text(refused.url)[Symbol.asyncIterator]().next(), { kind: "refused" });
});

test("what is left before it ends is not read on", async (t) => {
  const hub = await Hub.start(t);
  await publish(hub.topic("a"), "some");
  const it = text(hub.topic("a"));
  for await (const soFar of it) if (soFar) break;
  assert.equal(it.state.status, "closed");
});
