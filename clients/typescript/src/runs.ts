// What `tidings/resumable-stream` and `tidings/ai-sdk` have in common: streams that are known by a name. The topic of a name says
// which runs there were, the newest last. Each run is a topic below it, which ends with it.

import { Backoff } from "./backoff.ts";
import { connect } from "./connect.ts";
import { EVENT_SIZE, POLL_GRACE } from "./defaults.ts";
import { TidingsError } from "./error.ts";
import type { Gap, TidingsEvent } from "./event.ts";
import { reading } from "./place.ts";
import { publish } from "./publish.ts";
import { type RequestOptions, send, whole } from "./request.ts";
import { Span } from "./span.ts";
import type { Subscription } from "./subscription.ts";

/** For how long a hub that is away is waited for before somebody is told that it is. */
const PATIENCE = 10_000;
/** After how long without an event a reader is shown that the stream is alive. */
const SIGN = 15_000;

/** A stream that was begun. */
export interface Run {
  run: string;
  /** What was noted with it. */
  note?: any;
}

/** A page of events. */
export interface Page {
  events: TidingsEvent[];
  next: string;
  more: boolean;
  closed?: boolean;
  reason?: string;
}

export class Runs {
  #base: string;
  #options: RequestOptions;

  /** `base` is the URL of the topic that they are all below. */
  constructor(base: string | URL, { token, headers, credentials, fetch }: RequestOptions) {
    this.#base = `${base}`.replace(/\/+$/, "");
    this.#options = {
      ...(token !== undefined && { token }),
      ...(headers && { headers }),
      ...(credentials && { credentials }),
      ...(fetch && { fetch }),
    };
  }

  get options(): RequestOptions {
    return this.#options;
  }

  url(name: string, run?: string): string {
    return `${this.#base}/${encodeURIComponent(segment(name))}${run ? `/${run}` : ""}`;
  }

  /** Begins a run, and says whether it did: under a key that was used before, it did not. */
  async begin(name: string, run: string, note?: unknown, key?: string): Promise<boolean> {
    const data = { run, ...(note !== undefined && { note }) };
    const { repeated } = await publish(this.url(name), data, {
      ...this.#options,
      retryFor: PATIENCE,
      ...(key && { idempotencyKey: key }),
    });
    return !repeated;
  }

  /** The newest run of a name. */
  async latest(name: string): Promise<Run | undefined> {
    return (await this.#page(this.url(name), "-1")).events.at(-1)?.data;
  }

  /** All runs of a name that the hub still knows. */
  async all(name: string): Promise<Run[]> {
    const runs: Run[] = [];
    for await (const { events } of this.pages(this.url(name))) runs.push(...events.map(({ data }) => data));
    return runs;
  }

  /** Whether a run has ended, and why. */
  async standing(name: string, run: string): Promise<Page> {
    return this.#page(this.url(name, run), "-1");
  }

  /** What there is so far, from the beginning. */
  async *pages(url: string): AsyncGenerator<Page> {
    for (let since = "earliest"; ; ) {
      const page = await this.#page(url, since);
      yield page;
      if (!page.more) return;
      since = page.next;
    }
  }

  /** Ends a run, and so tells its producer. One that has ended is left as it is. */
  async end(name: string, run: string, reason: string): Promise<void> {
    try {
      await publish(this.url(name, run), undefined, { ...this.#options, close: true, reason, retryFor: PATIENCE });
    } catch (cause) {
      if (!(cause instanceof TidingsError && cause.status === 409)) throw cause;
    }
  }

  /** A run from its beginning, as text: what there is so far at once, and then as it comes. `write` makes text of events, and `end`
   * of its end; what they throw breaks the stream off, as does a gap. */
  follow(
    url: string,
    write: (events: TidingsEvent[]) => string,
    end: (reason: string | undefined) => string,
    sign?: string,
  ): ReadableStream<string> {
    const pages = this.pages(url);
    let events: AsyncIterator<TidingsEvent> | undefined;
    let subscription: Subscription | undefined;
    let cursor: string;
    let gap: Gap | undefined;
    let due: Promise<IteratorResult<TidingsEvent>> | undefined;
    let ended: Page | undefined;

    /** The next piece; nothing at the end. */
    const piece = async (): Promise<{ text: string; last?: boolean }> => {
      if (ended) return { text: end(ended.reason), last: true };
      if (!events) {
        const { value: page, done } = await pages.next();
        if (!done) {
          cursor = page.next;
          if (page.closed) ended = page;
          return { text: write(page.events) };
        }
        subscription = connect(url, { ...this.#options, cursor });
        subscription.on("gap", (told) => (gap = told));
        events = subscription[Symbol.asyncIterator]();
      }
      due ??= events.next();
      const result = await (sign ? inTime(due, SIGN) : due);
      if (!result) return { text: sign! };
      due = undefined;
      if (gap) throw Error(`a part of the stream is missing: ${gap.reason}`);
      const { state } = subscription!;
      if (result.done) return { text: end(state.status === "ended" ? state.reason : "closed"), last: true };
      return { text: write([result.value]) };
    };

    return new ReadableStream<string>({
      async pull(controller) {
        try {
          for (;;) {
            const { text, last } = await piece();
            if (text) controller.enqueue(text);
            if (last) controller.close();
            if (text || last) return;
          }
        } catch (cause) {
          subscription?.close();
          throw cause;
        }
      },
      cancel: () => subscription?.close(),
    });
  }

  async #page(url: string, since: string): Promise<Page> {
    const at = reading(url, this.#options);
    at.searchParams.set("since", since);
    at.searchParams.set("limit", "10000");
    const backoff = new Backoff();
    const began = performance.now();
    for (;;) {
      const span = new Span();
      span.patience = POLL_GRACE;
      try {
        const response = await send(at, this.#options, span, "application/json");
        if (!response.body) throw new TidingsError("unexpected", "an answer without a body");
        return JSON.parse(await whole(response, span, EVENT_SIZE * 2));
      } catch (cause) {
        const error = span.blame(cause);
        const rest = backoff.after(error, this.#options);
        if (!(performance.now() - began + rest < PATIENCE)) throw error;
        await new Promise((resolve) => setTimeout(resolve, rest));
      } finally {
        span.abort();
      }
    }
  }
}

/** A name as one segment of a topic, whatever is in it. */
function segment(name: string): string {
  if (!name) throw TypeError("a stream has a name");
  const segment = encodeURIComponent(name).replaceAll("*", "%2A");
  return /^\.{1,2}$/.test(segment) ? segment.replaceAll(".", "%2E") : segment;
}

/** 128 random bits, as 32 hexadecimal digits. */
export const randomName = (): string => {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
};

/** What comes of it, or nothing where that takes longer. */
async function inTime<Result>(due: Promise<Result>, time: number): Promise<Result | undefined> {
  let timer: ReturnType<typeof setTimeout>;
  const late = new Promise<undefined>((resolve) => (timer = setTimeout(resolve, time)));
  return Promise.race([due, late]).finally(() => clearTimeout(timer));
}
