import { Alarm } from "./alarm.ts";
import { Backoff } from "./backoff.ts";
import { EMPTY_POLL_PAUSE } from "./defaults.ts";
import { type ErrorKind, TidingsError } from "./error.ts";
import type { Step } from "./event.ts";
import { Ladder, type Transport } from "./ladder.ts";
import { mayChange, send } from "./request.ts";
import type { ConnectOptions, Settings } from "./settings.ts";
import type { State } from "./state.ts";
import type { Attempt } from "./transports/attempt.ts";
import { poll } from "./transports/poll.ts";
import { stream } from "./transports/sse.ts";

/** Where the events of a session go. */
export interface Sink {
  tell(step: Step): void;
  state(state: State): void;
  /** Resolves once there is room for more; nothing where there is. */
  room(): Promise<void> | undefined;
}

/** What feeds a subscription. */
export interface Source {
  run(cursor: string | undefined): void;
  pause(): void;
  resume(): void;
  close(): void;
}

/** What a page hears when it, or the network, comes back. */
const WAKING = ["online", "pageshow", "visibilitychange"];

const words: { [kind in ErrorKind]?: string } = {
  late: "no answer came in time",
  stalled: "the stream did not begin in time",
  silent: "the stream was silent for too long",
};

/** The life of a subscription, from attempt to attempt: one loop over one cursor, whichever the transport. */
export class Session implements Source {
  /** After everything that was told. */
  cursor: string | undefined;
  #url: URL;
  #settings: Settings;
  #sink: Sink;
  #ladder: Ladder;
  #backoff = new Backoff();
  #over = false;
  #paused = false;
  /** The attempt under way, or the rest before the next one. */
  #current = new AbortController();
  #late: ErrorKind | undefined;
  #alarm = new Alarm(() => this.#current.abort(this.#late && new TidingsError(this.#late, words[this.#late]!)));
  /** Whether the hub named the time of the rest. */
  #named = false;
  #open: Transport | undefined;
  /** Whether the last token was refused, and this is the attempt with another one. */
  #tokenRefused = false;

  constructor(url: URL, options: ConnectOptions, settings: Settings, sink: Sink) {
    this.#url = new URL(url);
    const { searchParams } = this.#url;
    for (const type of options.events ?? []) searchParams.append("event", type);
    // What the URL itself says stands where the options say nothing.
    if (options.since) searchParams.set("since", options.since);
    else if (!["since", "lastEventId"].some((name) => searchParams.has(name))) searchParams.set("since", "latest");
    this.#settings = settings;
    this.#sink = sink;
    this.#ladder = new Ladder(settings.transports, settings.climbAfter);
  }

  async run(cursor: string | undefined): Promise<void> {
    this.cursor = cursor;
    for (const event of WAKING) globalThis.addEventListener?.(event, this.#wake);
    while (!this.#over) {
      if (this.#paused) await this.#rest(Infinity);
      else {
        try {
          this.#renew();
          await this.#attempt(this.#ladder.rung());
        } catch (error) {
          if (!this.#over && !this.#paused) await this.#failed(error);
        }
      }
    }
  }

  pause(): void {
    this.#paused = true;
    this.#open = undefined;
    this.#current.abort();
  }

  resume(): void {
    this.#paused = false;
    this.#current.abort();
  }

  close(): void {
    this.#over = true;
    this.#alarm.stop();
    this.#current.abort();
    for (const event of WAKING) globalThis.removeEventListener?.(event, this.#wake);
  }

  #wake = ({ type, persisted }: Event & { persisted?: boolean }): void => {
    // After a change of network, or in a page that comes back out of the browser's cache, the connection may be
    // dead without a sign. A new one costs little, and loses nothing.
    if ((type === "online" || persisted) && !this.#named && !this.#paused) {
      this.#current.abort(new TidingsError("broken", "the network or the page was away"));
    } else this.#alarm.check();
  };

  #renew(): void {
    this.#alarm.stop();
    this.#late = undefined;
    this.#named = false;
    this.#current = new AbortController();
  }

  /** Rests for so long, or until something ends the rest. */
  async #rest(time: number): Promise<void> {
    const { signal } = this.#current;
    await new Promise((resolve) => {
      signal.addEventListener("abort", resolve);
      if (time < Infinity) this.#alarm.set(time);
    });
  }

  async #attempt(transport: Transport): Promise<void> {
    const { signal } = this.#current;
    const settings = this.#settings;
    if (!this.#open) this.#sink.state({ status: "connecting", transport });
    const attempt: Attempt = {
      settings,
      signal,
      mayFall: this.#ladder.mayFall,
      url: () => {
        const url = new URL(this.#url);
        // Unlike `since`, this is never the caller's mistake: a cursor from elsewhere is a gap.
        if (this.cursor) {
          url.searchParams.delete("since");
          url.searchParams.set("lastEventId", this.cursor);
        }
        return url;
      },
      send: (url, Accept) => send(url, settings, signal, { Accept }),
      expect: (patience, kind) => {
        if (signal.aborted) return;
        this.#late = kind;
        if (patience < Infinity) this.#alarm.set(patience);
        else this.#alarm.stop();
      },
      opened: () => {
        this.#tokenRefused = false;
        if (this.#open !== transport && !signal.aborted) {
          this.#sink.state({ status: "open", transport: (this.#open = transport) });
        }
      },
      succeeded: () => {
        this.#backoff.attempt = 0;
        this.#ladder.succeeded();
      },
      tell: (step) => {
        // Another attempt may have gone on from the cursor.
        if (signal.aborted) return;
        this.cursor = step.cursor ??= this.cursor;
        if (step.end) this.close();
        this.#sink.tell(step);
      },
      retry: (base) => (this.#backoff.base = base),
      room: async () => {
        const room = this.#sink.room();
        if (room) await Promise.race([room, new Promise((resolve) => signal.addEventListener("abort", resolve))]);
      },
    };
    if (transport === "sse") return stream(attempt);
    // The first poll finds out where it is, and whether polls are answered at all. Were it held, and broke, nobody
    // would know from which cursor to go on.
    const held = transport === "long-poll" && !!this.cursor && this.#ladder.proven;
    const asked = Date.now();
    const rest = await poll(attempt, held ? settings.wait : 0, (found) =>
      transport === "poll"
        ? settings.interval
        : found || !held || Date.now() - asked >= EMPTY_POLL_PAUSE
          ? 0
          : EMPTY_POLL_PAUSE,
    );
    if (rest && !signal.aborted) await this.#rest(rest);
  }

  async #failed(error: unknown): Promise<void> {
    if (!(error instanceof TidingsError)) return this.#end(new TidingsError("malformed", String(error), { cause: error }));
    let retryIn = 0;
    const transport = this.#ladder.rung();
    if (error.kind === "refused") {
      const token = error.status === 401 || error.status === 403;
      if (!token || this.#tokenRefused || !mayChange(this.#settings)) return this.#end(error);
      this.#tokenRefused = true;
      this.#backoff.attempt++;
    } else if (this.#ladder.failed(error)) this.#backoff.attempt++;
    else retryIn = this.#backoff.next(error.retryAfter);
    this.#open = undefined;
    this.#renew();
    this.#named = error.retryAfter !== undefined;
    this.#sink.state({ status: "waiting", transport, error, retryIn, attempt: this.#backoff.attempt });
    if (!this.#current.signal.aborted) await this.#rest(retryIn);
  }

  #end(error: TidingsError): void {
    this.close();
    this.#sink.state({ status: "failed", error });
  }
}
