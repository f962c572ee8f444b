import { Backoff } from "./backoff.ts";
import { ANSWER_SIZE, PUBLISH_RETRY, PUBLISH_TIMEOUT, SLOWEST_UPLOAD } from "./defaults.ts";
import { demand, json, locate, type RequestOptions, send } from "./request.ts";
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
  /** Ends it early. The event may have been published all the same. */
  signal?: AbortSignal;
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
  const { event, close, idempotencyKey = randomKey(), retryFor = PUBLISH_RETRY, signal } = options;
  const at = locate(url);
  if (event) at.searchParams.set("event", event);
  if (close) at.searchParams.set("close", "true");
  const [type, body, size] = letter(data, close);
  const began = Date.now();
  const backoff = new Backoff();
  for (;;) {
    const span = new Span();
    const abort = () => span.abort(signal!.reason);
    signal?.addEventListener("abort", abort);
    try {
      signal?.throwIfAborted();
      span.expect(PUBLISH_TIMEOUT + size / SLOWEST_UPLOAD, "late");
      const response = await send(at, options, span, { "Content-Type": type, "Idempotency-Key": idempotencyKey }, body);
      demand(response, "application/json");
      return { ...(await json(response, span, ANSWER_SIZE)), repeated: response.status === 200 };
    } catch (error) {
      const rest = backoff.after(error, options);
      if (Date.now() - began + rest >= retryFor) throw error;
      span.expect(rest);
      await span.over();
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }
}

function letter(data: unknown, close?: boolean): [type: string, body: BodyInit, size: number] {
  const text = "text/plain; charset=utf-8";
  // With `close`, an empty body means that there is no event: an empty event needs the form of a batch.
  if (data === "" && close) return ["application/x-ndjson", '{"data":""}', 0];
  if (typeof data === "string") return [text, data, data.length];
  if (data instanceof Blob) return ["application/octet-stream", data, data.size];
  if (data instanceof ArrayBuffer || ArrayBuffer.isView(data)) {
    return ["application/octet-stream", data as BufferSource, data.byteLength];
  }
  if (data === undefined && close) return [text, "", 0];
  const body = JSON.stringify(data);
  if (body === undefined) throw new TypeError("the data of an event is text, bytes, or a value that JSON has");
  return ["application/json", body, body.length];
}

/** 128 random bits; two publishers that draw the same key would take each other's events for repetitions. Pages
 * without TLS have no `randomUUID`. */
const randomKey = (): string => crypto.getRandomValues(new Uint32Array(4)).join("-");
