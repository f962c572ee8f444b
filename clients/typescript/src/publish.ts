import { Backoff } from "./backoff.ts";
import { PUBLISH_RETRY, PUBLISH_TIMEOUT } from "./defaults.ts";
import { TidingsError } from "./error.ts";
import { locate } from "./place.ts";
import { json, type RequestOptions, send } from "./request.ts";
import { Span } from "./span.ts";
import type { SocketTransport } from "./transports/websocket.ts";

/** How to publish. */
export interface PublishOptions extends RequestOptions {
  /** The event type. */
  event?: string;
  /** Ends the topic with this event; with `undefined` as data, without one. */
  close?: boolean;
  /** With `close`: why the topic ends, where it is no clean end. `stopped` is what a stop button says: whoever streams to the topic
   * is told at once. */
  reason?: string;
  /** How long the event is delivered, as `90s` or `500ms`: no read gives it any more when it is older. Whoever waits has had it
   * then. */
  ttl?: string;
  /** The key under which the hub knows this publish, should it come twice. Without one, a random one is used, which
   * makes the attempts of this publish known, and nothing else. */
  idempotencyKey?: string;
  /** The data is a string of JSON that is written already, as for numbers that JavaScript cannot hold. The hub stores it byte
   * for byte. */
  json?: boolean;
  /** For how many milliseconds it is tried again where the hub cannot be reached or cannot take it now; 60,000 by
   * default. 0 is one attempt. */
  retryFor?: number;
  /** Publishes through a connection to this hub that is open: the transport that it was made with. Where none is, or no
   * acknowledgement comes, it is published over HTTP, under the same key. What the connection's token allows counts, so this one
   * should be the same. */
  socket?: SocketTransport | undefined;
}

/** What was published. */
export interface Published {
  /** The event's id; absent where a topic was only ended. */
  id?: string;
  topic: string;
  time: string;
  /** Whether the hub knew the idempotency key, and so appended nothing this time. */
  repeated: boolean;
}

/** Publishes one event: a string as text, bytes as they are, and any other value as JSON. Once this resolves, the
 * event is as durable as the hub promises.
 *
 * Where the hub is away it is tried again, always under one idempotency key, so that it is published exactly once. */
export async function publish(url: string | URL, data: unknown, options: PublishOptions = {}): Promise<Published> {
  const { event, close, reason, ttl, idempotencyKey: key = randomKey(), retryFor = PUBLISH_RETRY, socket } = options;
  const { url: at, topic } = locate(url, options);
  let letter = write(data, options);
  const parameters = at.searchParams;
  if (event) parameters.set("event", event);
  if (close) parameters.set("close", "true");
  if (reason) parameters.set("reason", reason);
  if (ttl) parameters.set("ttl", ttl);
  const item = { event: parameters.get("event"), ttl: parameters.get("ttl") };
  if (topic) {
    if (parameters.has("close")) throw TypeError(`\`${topic}\` cannot be closed: proxies may take its URL for another topic's`);
    letter = { type: "application/json", body: `[${enclose(letter, { topic, ...item })}]` };
  }
  const headers = new Headers(options.headers);
  headers.set("content-type", letter.type);
  headers.set("idempotency-key", key);
  const began = performance.now();
  const backoff = new Backoff();
  for (;;) {
    const span = new Span();
    span.patience = PUBLISH_TIMEOUT;
    span.due = Date.now() + PUBLISH_TIMEOUT;
    try {
      // Once, and what is the same in both forms: so a second attempt, over HTTP, finds the first.
      const sent =
        !backoff.attempt && !topic && !parameters.has("close") && !isAltered(letter)
          ? socket?.publish(at, (topic) => enclose(letter, { topic, ...item, key }))
          : undefined;
      if (sent) {
        span.start("broken");
        const published = (await Promise.race([sent, span.over()])) as Published;
        span.signal.throwIfAborted();
        return published;
      }
      const response = await send(at, { ...options, method: "POST", headers, body: letter.body }, span, "application/json");
      if (!response.body) throw new TidingsError("unexpected", "an answer without a body");
      const { id, ids, ...receipt } = await json(response, span);
      return { id: id ?? ids?.[0], topic, ...receipt, repeated: response.status === 200 };
    } catch (cause) {
      const error = span.blame(cause);
      const rest = backoff.after(error, options);
      // Where another attempt would do no better, the rest is for ever.
      if (!(performance.now() - began + rest < retryFor)) throw error;
      await new Promise((resolve) => setTimeout(resolve, rest));
    } finally {
      // The answer may not have been read to its end.
      span.abort();
    }
  }
}

/** What is sent. */
interface Letter {
  type: string;
  body: string | BufferSource;
}

function write(data: unknown, { close, json }: PublishOptions): Letter {
  if (json) JSON.parse(data as string);
  else {
    // With `close`, an empty body means that there is no event: an empty event needs the form of a batch.
    if (data === "" && close) return { type: "application/x-ndjson", body: '{"data":""}' };
    if (data === undefined && close) data = "";
    if (typeof data === "string") return { type: "text/plain", body: data };
    if (data instanceof ArrayBuffer || ArrayBuffer.isView(data)) return { type: "application/octet-stream", body: data as BufferSource };
    data = JSON.stringify(data);
    // What has no form in JSON would be sent as nothing at all.
    if (!data) throw TypeError("undefined, functions and symbols cannot be published");
  }
  return { type: "application/json", body: data as string };
}

/** The same as an object with further members, such as the topic: an item of a batch is one. */
function enclose({ type, body }: Letter, more: object): string {
  let data = body;
  if (typeof data !== "string") data = `"${base64(data)}","encoding":"base64"`;
  else if (type === "text/plain") data = JSON.stringify(data);
  return `${JSON.stringify(more).slice(0, -1)},"data":${data}}`;
}

/** Whether it is JSON of which such an object would make something else: a string is text there, and blanks around are lost. */
const isAltered = ({ type, body }: Letter): boolean => type === "application/json" && /^["\s]|\s$/.test(body as string);

export function base64(data: BufferSource): string {
  const bytes = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data);
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

/** 128 random bits; two publishers that draw the same key would take each other's events for repetitions. Pages
 * without TLS have no `randomUUID`. */
export const randomKey = (): string => crypto.getRandomValues(new Uint32Array(4)).join("-");
