// Tokens as a hub itself gives them meaning: they end, are refused, or do not cover what is asked for.

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, publish } from "tidings";
import { Hub } from "./support/hub.js";
import { Keys } from "./support/keys.js";
import { transports } from "./support/sockets.js";
import { collect, datas, states } from "./support/wait.js";

const keys = new Keys();
const start = (t) => Hub.start(t, ...keys.flags(t));
const all = keys.token({ publish: ["**"], subscribe: ["**"] });

for (const [name, transport] of Object.entries(transports)) {
  test(`tokens that end are followed by others, and no event is lost or repeated: ${name}`, async (t) => {
    const hub = await start(t);
    const given = [];
    // As applications do it: one token for as long as it is valid.
    const token = async () => {
      if (!(given.at(-1)?.until > Date.now())) given.push({ until: Date.now() + 1_000, token: keys.token({ subscribe: ["a"], seconds: 1 }) });
      return given.at(-1).token;
    };
    const subscription = connect(hub.topic("a"), { token, transports: [transport], since: "earliest", interval: 50, wait: 10_000 });
    t.after(subscription.close);
    const { seen: told, until } = states(subscription);
    const seen = collect(subscription);
    const numbers = [];
    // Some come before a token ends, some after, and some while nobody is connected.
    while (given.length < 4) {
      numbers.push(numbers.length);
      await publish(hub.topic("a"), numbers.at(-1), { token: all });
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.deepEqual(datas(await seen.count(numbers.length)), numbers);
    // A token that ends is no failure of the subscription.
    assert.equal(told.some(({ status }) => status === "failed"), false);
    if (name === "sse") assert.equal((await until("waiting")).error.kind, "ended");
    // A socket is shown the next one where there is one before the last has ended.
    else if (name !== "websocket") assert.equal(told.some(({ status }) => status === "waiting"), false);
  });
}

test("a token that has expired is followed by one that has not", async (t) => {
  const hub = await start(t);
  let asked = 0;
  const token = () => keys.token({ subscribe: ["a"], publish: ["a"], seconds: asked++ ? 60 : -60 });
  const subscription = connect(hub.topic("a"), { token });
  t.after(subscription.close);
  const { until } = states(subscription);
  const { error, retryIn } = await until("waiting");
  assert.deepEqual([error.kind, error.status, error.problem.type, retryIn], ["refused", 401, "urn:tidings:unauthorized", 0]);
  assert.match(error.message, /expired/);
  await until("open");
  assert.equal(asked, 2);

  asked = 0;
  assert.equal((await publish(hub.topic("a"), 1, { token })).topic, "a");
  assert.equal(asked, 2);
});

for (const [what, status, problem, token] of [
  ["no token", 401, "unauthorized", () => undefined],
  ["a token of another's key", 401, "unauthorized", () => new Keys().token({ subscribe: ["**"], publish: ["**"] })],
  ["a token that is none", 401, "unauthorized", () => "opaque"],
  ["a token for another topic", 403, "forbidden", () => keys.token({ subscribe: ["b"], publish: ["b"] })],
]) {
  test(`${what} is refused, and so is a second one; then it has failed, and says why`, async (t) => {
    const hub = await start(t);
    let asked = 0;
    const supplier = async () => {
      asked++;
      return token();
    };
    const subscription = connect(hub.topic("a"), { token: supplier });
    t.after(subscription.close);
    const { error } = await states(subscription).until("failed");
    assert.deepEqual([error.kind, error.status, error.problem.type], ["refused", status, `urn:tidings:${problem}`]);
    assert.ok(error.message.includes(error.problem.detail), error.message);
    assert.equal(asked, 2);
    await assert.rejects(async () => {
      for await (const _ of subscription);
    }, error);

    await assert.rejects(publish(hub.topic("a"), 1, { token: supplier }), { kind: "refused", status });
    assert.equal(asked, 4);
  });
}

test("rights that are taken away end a subscription when its token does", async (t) => {
  const hub = await start(t);
  let asked = 0;
  const token = () => (asked++ ? keys.token({ subscribe: ["b"] }) : keys.token({ subscribe: ["a"], seconds: 1 }));
  const subscription = connect(hub.topic("a"), { token });
  t.after(subscription.close);
  const { until } = states(subscription);
  await until("open");
  assert.equal((await until("waiting")).error.kind, "ended");
  const { error } = await until("failed");
  assert.deepEqual([error.kind, error.status, asked], ["refused", 403, 3]);
});
