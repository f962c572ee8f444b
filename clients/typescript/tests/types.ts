// Compiled, not run: what the types of events must allow, and what they must not.

import { connect, publish, publishStream, type CursorStore, type State, TidingsError } from "tidings";
import { connect as share } from "tidings/share";
import { EventSource } from "tidings/eventsource";
import { websocket } from "tidings/websocket";
import { createResumableStreamContext } from "tidings/resumable-stream";
import { text } from "tidings/text";
import { useEvents, useLatest, useTable, useTextStream } from "tidings/react";

interface Prices {
  tick: { price: number };
  halt: string;
}

export async function typed(): Promise<void> {
  const store: CursorStore = { load: () => null, save: () => {} };
  const events = connect<Prices>("https://hub.example/topics/prices/*", { token: async () => "t", store });
  events.on("tick", (event) => event.data.price.toFixed(event.topic.length));
  events.on("halt", (event) => event.data.toUpperCase());
  events.on("*", (event) => {
    if (event.event === "tick") event.data.price.toFixed();
  });
  events.on("gap", (gap) => gap.resumed.length);
  events.on("state", (state: State) => {
    if (state.status === "failed") throw state.error satisfies TidingsError;
    if (state.status === "waiting") state.retryIn.toFixed();
    if (state.storeError) throw state.storeError satisfies TidingsError;
  });
  // @ts-expect-error no such type of events
  events.on("tock", () => {});
  // @ts-expect-error the data is an object
  events.on("tick", (event) => event.data.toUpperCase());
  for await (const event of events) if (event.event === "halt") event.data.toUpperCase();
  const off: () => void = connect("/topics/a").on("anything", (event) => event.data.whatever);
  off();
  share<Prices>(new URL("https://hub.example/topics/a"), { share: true }).close();
  // @ts-expect-error it is an import of its own
  connect("/topics/a", { transports: ["websocket"] });
  const socket = websocket();
  connect("/topics/a", { transports: [socket, "sse", "long-poll", "poll"] }).on("state", (state) => {
    if (state.status === "open") state.transport satisfies "websocket" | "sse" | "long-poll" | "poll";
  });
  share("/topics/a", { share: true, transports: [socket, "sse"] });
  await publish("/topics/a", 1, { socket });
  connect("/topics/a", { parse: (text) => JSON.parse(text), headers: new Headers(), heartbeat: 1_000 });
  await publish("/topics/a", '{"price":1.10}', { json: true });
  const { id, repeated } = await publish("https://hub.example/topics/a", { price: 1 }, { event: "tick", idempotencyKey: "k" });
  // @ts-expect-error an attribute that is not to be written
  new EventSource("/topics/a").url = "/topics/b";
  if (EventSource.OPEN === 1 && id && !repeated) new EventSource("/topics/a", { withCredentials: true }).onmessage = (message) => message.data.length;
  const { events: count, last = "" } = await publishStream("/topics/a", new ReadableStream<string>(), { close: true, onProgress: ({ events }) => events.toFixed() });
  // @ts-expect-error nothing to iterate
  await publishStream("/topics/a", 7);
  for await (const soFar of text("/topics/a", { pick: ({ data }) => data.delta })) soFar.slice(count, last.length);
  const streams = createResumableStreamContext({ hub: "https://hub.example", waitUntil: null });
  const stream: ReadableStream<string> | null | undefined = await streams.resumeExistingStream("a", 7);
  const exists: true | "DONE" | null = await streams.hasExistingStream("a");
  if (exists) await stream?.cancel();
}

export function Component(url: string | null): string {
  const { events, gap, state } = useEvents<Prices>(url, { keep: 5, share: true, user: "ann" });
  for (const event of events) if (event.event === "tick") event.data.price.toFixed();
  // @ts-expect-error they are not to be changed
  events.push(events[0]);
  const { event } = useLatest<Prices["tick"]>(new URL("https://hub.example/topics/prices/x"));
  // @ts-expect-error there may be none yet
  event.data;
  const { table } = useTable<Prices["tick"]>(url && `${url}/*`, { token: async () => "t" });
  const { text } = useTextStream(url, { pick: ({ data }) => data.delta });
  return `${text} ${table.get("prices/x")?.data.price} ${event?.data.price} ${gap?.resumed} ${state.status}`;
}
