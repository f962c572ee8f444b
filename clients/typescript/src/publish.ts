import { Backoff } from "./backoff.ts";
import { PUBLISH_RETRY, PUBLISH_TIMEOUT } from "./defaults.ts";
import { json, locate, type RequestOptions, send } from "./request.ts";
import { Span } from "./span.ts";

/** How to publish. */
export interface PublishOptions extends RequestOptions {
  /** The event type. */
  event?: string;
  /** Ends the topic with this event; with `undefined` as data, without one. */
  close?: boolean;
  /** The key under which the hub knows this publish, should it come twice. Without one, a random one is used, which
   * makes the attempts of this publish known, and nothing else. */
  idempotencyKey?: string;
  /** For how many milliseconds it is tried again where the hub cannot be reached or cannot take it now; 60,000 by
   * default. 0 is one attempt. */
  retryFor?: number;
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
  const { event, close, idempotencyKey = randomKey(), retryFor = PUBLISH_RETRY } = options;
  const at = locate(url);
  if (event) at.searchParams.set("event", event);
  if (close) at.searchParams.set("close", "true");
  const [type, body] = letter(data, close);
  const began = Date.now();
  const backoff = new Backoff();
  for (;;) {
    const span = new Span();
    span.patience = PUBLISH_TIMEOUT;
    try {
      const headers = { ...options.headers, "content-type": type, "idempotency-key": idempotencyKey };
      const response = await send(at, { ...options, method: "POST", headers, body }, span, "application/json");
      const { id, ids, ...receipt } = await json(response, span);
      return { id: id ?? ids?.[0], ...receipt, repeated: response.status === 200 };
    } catch (cause) {
      const error = span.blame(cause);
      const rest = backoff.after(error, options);
      if (Date.now() - began + rest >= retryFor) throw error;
      await new Promise((resolve) => setTimeout(resolve, rest));
    } finally {
      // The answer may not have been read to its end.
      span.abort();
    }
  }
}

function letter(data: unknown, close?: boolean): [type: string, body: BodyInit] {
  // With `close`, an empty body means that there is no event: an empty event needs the form of a batch.
  if (data === "" && close) return ["application/x-ndjson", '{"data":""}'];
  if (data === undefined && close) data = "";
  if (typeof data === "string") return ["text/plain", data];
  if (data instanceof ArrayBuffer || ArrayBuffer.isView(data)) return ["application/octet-stream", data as BufferSource];
  return ["application/json", JSON.stringify(data)];
}

/** 128 random bits; two publishers that draw the same key would take each other's events for repetitions. Pages
 * without TLS have no `randomUUID`. */
const randomKey = (): string => crypto.getRandomValues(new Uint32Array(4)).join("-");
