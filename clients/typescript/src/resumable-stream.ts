// The functions of the npm package `resumable-stream` over a Tidings hub, with the same results. There, what was streamed is kept by
// the process that produces it, and is lost with it; here it is in the hub's log.

import { STREAM_GRACE } from "./defaults.ts";
import { TidingsError } from "./error.ts";
import { publishStream } from "./publish-stream.ts";
import type { RequestOptions } from "./request.ts";
import { randomName, Runs } from "./runs.ts";

/** How streams are kept. */
export interface CreateResumableStreamContextOptions extends RequestOptions {
  /** The URL of the hub; by default what the environment variable `TIDINGS_URL` says. `token` is by default what `TIDINGS_TOKEN` says. */
  hub?: string | URL;
  /** The topic that all streams are below; `resumable-stream` by default. */
  keyPrefix?: string;
  /** Keeps the program alive until a promise is settled, as `after` of `next/server` does. `null` where nobody suspends it. */
  waitUntil: ((promise: Promise<unknown>) => void) | null;
  /** For how many milliseconds the hub waits for a producer whose connection broke before it ends the stream as aborted; 10,000 by
   * default. */
  grace?: number;
  /** Is told when a stream can no longer be written to the hub, or its source failed; by default it is written to the console. */
  onError?: (error: unknown) => void;
  /** These three are for Redis, and of no use here. They may stay. */
  publisher?: unknown;
  subscriber?: unknown;
  doneWatchdogIntervalMs?: number;
}

/** What a context can do. */
export interface ResumableStreamContext {
  /** Begins a stream, or resumes the one of this name that is under way. `null` where that is done. */
  resumableStream(streamId: string, makeStream: () => ReadableStream<string>, skipCharacters?: number): Promise<ReadableStream<string> | null>;
  /** The stream of this name from its beginning, without the first `skipCharacters`, and then as it comes. `null` where it is done,
   * `undefined` where there is none. Where its producer died, it breaks off after what there is. */
  resumeExistingStream(streamId: string, skipCharacters?: number): Promise<ReadableStream<string> | null | undefined>;
  /** Begins a stream. It is read to its end, whether or not its first reader stays. `skipCharacters` is ignored, as there. */
  createNewResumableStream(streamId: string, makeStream: () => ReadableStream<string>, skipCharacters?: number): Promise<ReadableStream<string> | null>;
  /** `null` where there is no such stream, `true` where it can be resumed, `"DONE"` where it is done. */
  hasExistingStream(streamId: string): Promise<null | true | "DONE">;
  /** Stops the stream of this name, wherever its producer runs: the stream that it reads from is cancelled. Not in the original. */
  stopStream(streamId: string): Promise<void>;
}

/** Streams that can be resumed by name, on every instance of a program.
 *
 * Each is a topic below `keyPrefix`, and the name's own topic says which runs there were. */
export function createResumableStreamContext(options: CreateResumableStreamContextOptions): ResumableStreamContext {
  const { keyPrefix = "resumable-stream", grace = STREAM_GRACE, waitUntil, onError = console.error } = options;
  const environment: Record<string, string | undefined> = (globalThis as any).process?.env ?? {};
  const hub = options.hub ?? environment.TIDINGS_URL;
  if (!hub) throw TypeError("no hub: give its URL as `hub`, or in the environment variable TIDINGS_URL");
  const prefix = keyPrefix.split("/").map(encodeURIComponent).join("/");
  const base = `${`${hub}`.replace(/\/+$/, "")}/topics/${prefix}`;
  const runs = new Runs(base, { ...options, token: options.token ?? environment.TIDINGS_TOKEN });

  /** Streams to the hub, and to whoever began the stream. */
  function produce(id: string, run: string, makeStream: () => ReadableStream<string>): ReadableStream<string> {
    const reader = makeStream().getReader();
    let first!: ReadableStreamDefaultController<string>;
    let gone = false;
    const readable = new ReadableStream<string>({
      start: (controller) => void (first = controller),
      cancel: () => void (gone = true),
    });
    /** Tells whoever began the stream, where that is still there. */
    const tell = (act: () => void) => gone || act();
    const step = async (): Promise<string | undefined> => {
      try {
        const { done, value } = await reader.read();
        if (done) return void tell(() => first.close());
        if (typeof value !== "string") throw TypeError("a resumable stream is one of strings");
        tell(() => first.enqueue(value));
        return value;
      } catch (cause) {
        tell(() => first.error(cause));
        throw cause;
      }
    };
    const source = new ReadableStream<string>(
      {
        async pull(controller) {
          const value = await step();
          if (value === undefined) controller.close();
          else controller.enqueue(value);
        },
        async cancel(cause) {
          if (cause instanceof TidingsError && cause.status === 409) {
            // Somebody stopped it.
            tell(() => first.close());
            return reader.cancel(cause);
          }
          // Without the hub nobody can resume it. Whoever began it is there all the same.
          while ((await step()) !== undefined);
        },
      },
      { highWaterMark: 0 },
    );
    const published = publishStream(runs.url(id, run), source, { ...runs.options, close: true, grace }).catch((cause) => {
      if (!(cause instanceof TidingsError && cause.status === 409)) onError(cause);
    });
    waitUntil?.(published);
    return readable;
  }

  async function resume(id: string, run: string, skip = 0): Promise<ReadableStream<string> | null> {
    const { closed, reason } = await runs.standing(id, run);
    if (closed && reason !== "aborted") return null;
    return runs.follow(
      runs.url(id, run),
      (events) => {
        const text = events.map(({ data }) => data).join("");
        const more = text.slice(skip);
        skip = Math.max(skip - text.length, 0);
        return more;
      },
      (reason) => {
        if (reason === "aborted") throw new TidingsError("broken", "the producer of this stream has died: this is all that there is of it");
        return "";
      },
    );
  }

  async function create(id: string, makeStream: () => ReadableStream<string>): Promise<ReadableStream<string>> {
    const run = randomName();
    await runs.begin(id, run);
    return produce(id, run, makeStream);
  }

  return {
    async resumableStream(id, makeStream, skip) {
      const latest = await runs.latest(id);
      if (latest) return resume(id, latest.run, skip);
      // Of all who come at once, on whichever instance, one begins it.
      if (await runs.begin(id, "first", undefined, "first")) return produce(id, "first", makeStream);
      return resume(id, "first", skip);
    },
    async resumeExistingStream(id, skip) {
      const latest = await runs.latest(id);
      return latest && resume(id, latest.run, skip);
    },
    createNewResumableStream: create,
    async hasExistingStream(id) {
      const latest = await runs.latest(id);
      if (!latest) return null;
      const { closed, reason } = await runs.standing(id, latest.run);
      return closed && reason !== "aborted" ? "DONE" : true;
    },
    async stopStream(id) {
      const latest = await runs.latest(id);
      if (latest) await runs.end(id, latest.run, "stopped");
    },
  };
}
