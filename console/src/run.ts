import { connect, publish, type Transport } from "tidings";
import { websocket } from "tidings/websocket";
import { type Tap, tapped, tappedSocket, withToken } from "./wire.ts";

export interface Settings {
  events: number;
  /** Milliseconds between two events, on average. */
  pause: number;
  /** Milliseconds between two short polls. */
  interval: number;
}

/** What a transport took to bring the events. Times are by the run's clock, in milliseconds. */
export interface Result {
  published: number;
  delays: number[];
  arrivals: { sent: number; came: number }[];
  requests: number;
  bytes: number;
  spans: { from: number; to: number | undefined }[];
}

const LONGEST_OPENING = 15_000;
/** Beyond the interval of the short poll. */
const LONGEST_TAIL = 5_000;

/** The same events by several transports at once. */
export class Run {
  running = false;
  readonly results: Result[];
  /** When each event was published. */
  readonly published: number[] = [];
  /** How long the hub took to acknowledge each. */
  readonly answered: number[] = [];
  #url: URL;
  #settings: Settings;
  #transports: readonly Transport[];
  #began = performance.now();
  #ended: number | undefined;
  #stop = new AbortController();
  #subscriptions: { close(): void }[] = [];
  /** Tells these events from those of others, and of other runs. */
  #name = crypto.getRandomValues(new Uint32Array(2)).join("-");

  constructor(url: URL, settings: Settings, transports: readonly Transport[]) {
    this.#url = url;
    this.#settings = settings;
    this.#transports = transports;
    this.results = transports.map(() => ({ published: 0, delays: [], arrivals: [], requests: 0, bytes: 0, spans: [] }));
  }

  clock(): number {
    return (this.#ended ?? performance.now()) - this.#began;
  }

  stop(): void {
    this.#stop.abort(new Error("it was stopped"));
  }

  async go(say: (words: string) => void): Promise<void> {
    this.running = true;
    try {
      await this.#within(LONGEST_OPENING, "not every subscription opened in time", Promise.all(this.#transports.map((transport, i) => this.#subscribe(transport, this.results[i]!))));
      this.#restart();
      for (let number = 1; number <= this.#settings.events; number++) {
        say(`Publishing event ${number} of ${this.#settings.events}.`);
        await this.#publish(number);
        // Not in step with the short poll.
        await this.#within(Infinity, "", new Promise((resolve) => setTimeout(resolve, this.#settings.pause * (0.5 + Math.random()))));
      }
      say("Waiting for the short poll to find the last ones.");
      const all = () => this.results.every(({ delays }) => delays.length >= this.published.length);
      await this.#within(this.#settings.interval + LONGEST_TAIL, "not every event came in time", until(all, this.#stop.signal));
    } finally {
      this.#ended = performance.now();
      this.running = false;
      for (const subscription of this.#subscriptions) subscription.close();
    }
  }

  /** Opening is not part of what is measured: the clock begins here, with the requests that are open. */
  #restart(): void {
    this.#began = performance.now();
    for (const result of this.results) {
      result.spans = result.spans.filter(({ to }) => to === undefined).map(() => ({ from: 0, to: undefined }));
      result.requests = result.spans.length;
      result.bytes = 0;
    }
  }

  #subscribe(transport: Transport, result: Result): Promise<void> {
    const tap: Tap = {
      request: () => {
        const span: Result["spans"][number] = { from: this.clock(), to: undefined };
        result.spans.push(span);
        result.requests++;
        return {
          head: (_, size) => (result.bytes += size),
          bytes: (bytes, framing = 0) => (result.bytes += bytes.length + framing),
          end: () => {
            // It may have been replaced when the clock began.
            for (const open of result.spans) if (open.to === undefined) open.to = this.clock();
          },
        };
      },
    };
    const subscription = connect<{ test: { run: string; number: number } }>(this.#url, {
      ...withToken,
      transports: [transport === "websocket" ? websocket({ WebSocket: tappedSocket(tap) }) : transport],
      interval: this.#settings.interval,
      since: "latest",
      fetch: tapped(tap),
    });
    this.#subscriptions.push(subscription);
    subscription.on("test", ({ data }) => {
      const sent = data?.run === this.#name ? this.published[data.number - 1] : undefined;
      if (sent === undefined) return;
      const came = this.clock();
      result.arrivals.push({ sent, came });
      result.delays.push(came - sent);
    });
    return new Promise((resolve, reject) => {
      subscription.on("state", (state) => {
        if (state.status === "open") resolve();
        if (state.status === "failed") reject(state.error);
        if (state.status === "ended") reject(new Error("the topic is closed"));
      });
    });
  }

  async #publish(number: number): Promise<void> {
    const at = this.clock();
    this.published.push(at);
    for (const result of this.results) result.published++;
    await publish(this.#url, { run: this.#name, number }, { ...withToken, event: "test", retryFor: 0 });
    this.answered.push(this.clock() - at);
  }

  async #within<Value>(limit: number, otherwise: string, promise: Promise<Value>): Promise<Value> {
    const { signal } = this.#stop;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const over = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      if (Number.isFinite(limit)) timer = setTimeout(() => reject(new Error(otherwise)), limit);
      signal.aborted && reject(signal.reason);
    });
    try {
      return await Promise.race([promise, over]);
    } finally {
      clearTimeout(timer);
    }
  }
}

async function until(holds: () => boolean, signal: AbortSignal): Promise<void> {
  while (!holds() && !signal.aborted) await new Promise((resolve) => setTimeout(resolve, 20));
}
