import { Backoff } from "./backoff.ts";
import { ANSWER_SIZE, FIRST_BYTE, PUBLISH_RETRY, PUBLISH_TIMEOUT, STREAM_GRACE, STREAM_PIECE, STREAM_SIGN, STREAM_WINDOW } from "./defaults.ts";
import { TidingsError } from "./error.ts";
import { Outbox, type Source } from "./outbox.ts";
import { locate } from "./place.ts";
import { publish, randomKey } from "./publish.ts";
import { json, read, refusal, type RequestOptions, send } from "./request.ts";
import { Span } from "./span.ts";

/** How to publish a stream. */
export interface PublishStreamOptions extends RequestOptions {
  /** The event type of every item. */
  event?: string;
  /** Ends the topic with the stream. Where the source fails, or `signal` is aborted, the topic ends with the reason `aborted` instead. */
  close?: boolean;
  /** With `close`: for how many milliseconds the hub waits for a producer whose connection broke before it ends the topic as
   * `aborted`; 10,000 by default. */
  grace?: number;
  /** The key under which the hub knows the items, should they come twice: item number n has the key `<key>/n`. A random one by default. */
  idempotencyKey?: string;
  /** For how many milliseconds without progress it is tried again where the hub cannot be reached; 60,000 by default. */
  retryFor?: number;
  /** How many milliseconds the hub's answer may take to begin before the items go in short requests, as something on the way holds
   * bodies back; 5,000 by default. */
  firstByte?: number;
  /** Breaks the stream off. */
  signal?: AbortSignal;
  /** Is called whenever more has become durable. */
  onProgress?: (progress: Progress) => void;
}

/** How far a stream is. */
export interface Progress {
  /** How many items are as durable as the hub promises. */
  events: number;
  /** The id of the last one. */
  last?: string;
}

/** What was published. */
export interface StreamPublished extends Progress {
  topic: string;
  /** The id of the first event. */
  first?: string;
  /** Whether the topic has ended with the stream. */
  closed: boolean;
}

/** Publishes each item of a source as an event, as it comes: a string as text, bytes as they are, any other value as JSON.
 *
 * It resolves once the source is at its end and everything is as durable as the hub promises. Where the connection breaks, it goes on
 * from the first item that is not acknowledged: each is published exactly once. No more is taken from the source while a mebibyte
 * waits. Where the topic is ended meanwhile it rejects with a status of 409 at once, with `problem.reason` `stopped` where somebody
 * pressed a stop button, and the source is cancelled.
 *
 * Where a request cannot be answered while its body is still sent, as in browsers and through proxies that hold bodies back,
 * the same items go in short requests one after the other. */
export async function publishStream(
  url: string | URL,
  source: Source,
  options: PublishStreamOptions = {},
): Promise<StreamPublished> {
  const { event, close, grace = STREAM_GRACE, idempotencyKey = randomKey(), retryFor = PUBLISH_RETRY, ...more } = options;
  const { firstByte = FIRST_BYTE, signal, onProgress, ...request } = more;
  const { url: at, topic } = locate(url, options);
  if (topic) throw TypeError(`\`${topic}\` cannot be streamed to: proxies may take its URL for another topic's`);
  at.searchParams.set("stream", "lines");
  if (event) at.searchParams.set("event", event);
  const headers = new Headers(options.headers);
  headers.set("content-type", "application/x-ndjson");
  headers.set("idempotency-key", idempotencyKey);

  const outbox = new Outbox(source, STREAM_WINDOW, signal);
  const backoff = new Backoff();
  const published: StreamPublished = { topic: "", events: 0, closed: false };
  /** Since when it has failed without progress. */
  let failing: number | undefined;
  let streaming = canStream();
  /** Whether an answer has ever come while the body was still sent. */
  let proven = false;
  let span = new Span();

  /** Where the body goes that begins with item number `from`. */
  function target(from: number, closes: boolean | undefined): URL {
    const target = new URL(at);
    if (from) target.searchParams.set("from", `${from}`);
    if (closes) {
      target.searchParams.set("close", "true");
      target.searchParams.set("grace", `${grace}ms`);
    }
    return target;
  }

  /** Takes an acknowledgement of the body that began with item number `from`. */
  function acknowledge(from: number, { topic, events, first, last, closed }: Partial<StreamPublished>): void {
    if (!from && first) published.first = first;
    if (last) published.last = last;
    if (topic) published.topic = topic;
    published.closed = !!closed;
    if (outbox.acknowledge(from + (events ?? 0))) {
      published.events = outbox.first;
      failing = undefined;
      backoff.attempt = 0;
      backoff.refused = false;
      onProgress?.({ events: published.events, ...(published.last && { last: published.last }) });
    }
  }

  /** Sends what there is and what comes in one request, and hears meanwhile what is durable. */
  async function stream(): Promise<boolean> {
    const from = outbox.first;
    let next = from;
    let answered = false;
    // Node.js sends nothing of a request before its body begins.
    let sign = true;
    const timer = setInterval(() => ((sign = true), outbox.changed()), STREAM_SIGN);
    const encoder = new TextEncoder();
    const { signal } = span;
    const patience = () => {
      span.patience = next > outbox.first || outbox.over ? PUBLISH_TIMEOUT : Infinity;
      if (answered) span.start("broken");
    };
    const body = new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          for (; !signal.aborted; await outbox.change()) {
            const lines = outbox.after(next, STREAM_PIECE);
            if (lines[0]) {
              sign = false;
              next += lines.length;
              if (answered) patience();
              return controller.enqueue(encoder.encode(lines.join("")));
            }
            if (outbox.failure && close) {
              // It is not to look like an end. What it had before is to be kept.
              if (!outbox.waits) return span.abort();
            } else if (outbox.over) {
              if (answered) patience();
              return controller.close();
            } else if (sign) {
              sign = false;
              return controller.enqueue(encoder.encode("\n"));
            }
          }
        },
        cancel: () => outbox.changed(),
      },
      { highWaterMark: 0 },
    );
    try {
      span.patience = firstByte;
      span.kind = "stalled";
      const init: RequestInit & { duplex: string } = { method: "POST", body, headers, duplex: "half" };
      const response = await send(target(from, close), { ...request, ...init }, span, "application/x-ndjson");
      if (!response.body) throw new TidingsError("unexpected", "an answer without a body");
      proven = answered = true;
      span.kind = "late";
      let line = "";
      patience();
      for await (const piece of read(response, span)) {
        const lines = (line + piece).split("\n");
        line = lines.pop()!;
        if (line.length > ANSWER_SIZE) throw Error("too large");
        for (const told of lines.filter(Boolean).map((line) => JSON.parse(line))) {
          acknowledge(from, told);
          if (told.problem) throw refusal(told.problem.status, told.problem);
          if (told.topic) {
            // Whoever answers before the end has not heard it.
            if (outbox.over && !outbox.waits && !(close && !told.closed)) return true;
            throw new TidingsError("broken", "the answer came before the end");
          }
        }
        patience();
      }
      throw new TidingsError("broken", "the answer has no end");
    } finally {
      clearInterval(timer);
    }
  }

  /** Sends what there is in a request of its own, and says whether it was the last. */
  async function batch(): Promise<boolean> {
    while (!outbox.waits && !outbox.over) await outbox.change();
    const from = outbox.first;
    const lines = outbox.after(from, STREAM_PIECE);
    const last = outbox.over && lines.length === outbox.waits;
    if (last && outbox.failure && !lines[0]) return true;
    span.patience = PUBLISH_TIMEOUT;
    span.due = Date.now() + PUBLISH_TIMEOUT;
    const init = { method: "POST", headers, body: lines.join("") };
    const response = await send(target(from, last && close && !outbox.failure), { ...request, ...init }, span, "application/json");
    if (!response.body) throw new TidingsError("unexpected", "an answer without a body");
    acknowledge(from, await json(response, span));
    return last;
  }

  // Whoever breaks it off does not wait for what is not acknowledged.
  const broken = () => span.abort();
  signal?.addEventListener("abort", broken);
  try {
    for (let done = false; !done && !signal?.aborted; ) {
      span = new Span();
      try {
        done = await (streaming ? stream() : batch());
      } catch (cause) {
        const error = span.blame(cause);
        // Without a reason, the source has failed, or it was broken off.
        if (!error) break;
        const rest = backoff.after(error, options);
        failing ??= performance.now();
        if (!(performance.now() - failing + rest < retryFor)) throw error;
        // The hub may be away, or something on the way holds bodies back: the other way tells.
        if (!proven) streaming = !streaming && canStream();
        await new Promise((resolve) => setTimeout(resolve, rest));
      } finally {
        // The answer may not have been read to its end.
        span.abort();
      }
    }
    if (!outbox.failure) return published;
    // Where this fails, the hub ends the topic by itself after the grace: why the source failed says more.
    if (close) await publish(url, undefined, { ...request, close, reason: "aborted", retryFor }).catch(() => {});
    throw outbox.failure.cause;
  } catch (error) {
    outbox.cancel(error);
    throw error;
  } finally {
    signal?.removeEventListener("abort", broken);
  }
}

/** Whether an answer can come while a body is still sent: browsers keep it back until then. */
const canStream = (): boolean => !("document" in globalThis || "WorkerGlobalScope" in globalThis);
