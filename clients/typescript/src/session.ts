import { Backoff } from "./backoff.ts";
import { EMPTY_POLL_PAUSE } from "./defaults.ts";
import { TidingsError } from "./error.ts";
import type { Step } from "./event.ts";
import { Ladder, type Transport } from "./ladder.ts";
import { send } from "./request.ts";
import type { Settings } from "./settings.ts";
import { Span } from "./span.ts";
import type { State } from "./state.ts";
import { poll } from "./transports/poll.ts";
import { stream } from "./transports/sse.ts";

/** Where the events of a session go. */
export interface Sink {
  tell(step: Step): void;
  state(state: State): void;
  /** Resolves once there is room for more. */
  room(): Promise<void>;
}

/** What feeds a subscription. */
export interface Source {
  run(cursor: string | undefined): void;
  /** `false` goes on again. */
  pause(pause: boolean): void;
  close(): void;
}

/** What a page hears when it, or the network, comes back. */
const WAKING = ["online", "pageshow", "visibilitychange"];

/** The life of a subscription, from attempt to attempt: one loop over one cursor, whichever the transport. */
export function session(at: URL, settings: Settings, sink: Sink): Source {
  const { since, events = [] } = settings;
  const ladder = new Ladder(settings.transports, settings.climbAfter);
  const backoff = new Backoff();
  let cursor: string | undefined;
  let over = false;
  let paused = false;
  let span: Span;
  /** Whether the hub itself named the time of the rest. */
  let named = false;
  /** The transport that the consumer was last told is open. */
  let open: Transport | undefined;

  function ask(Accept: string, parameters: Record<string, string | number>): Promise<Response> {
    const url = new URL(at);
    const { searchParams } = url;
    for (const type of events) searchParams.append("event", type);
    for (const name in parameters) searchParams.set(name, `${parameters[name]}`);
    // Unlike `since`, this is never the caller's mistake: a cursor from elsewhere is a gap.
    if (cursor) searchParams.set("lastEventId", cursor);
    // What the URL says stands where the options say nothing.
    else if (since || !searchParams.has("since")) searchParams.set("since", since ?? "latest");
    return send(url, settings, span, { Accept });
  }

  async function attempt(transport: Transport): Promise<number> {
    const mine = (span = new Span());
    if (!open) sink.state({ status: "connecting", transport });
    const attempt = {
      settings,
      span,
      ask,
      opened() {
        backoff.tokenRefused = false;
        if (open !== transport && !mine.signal.aborted) sink.state({ status: "open", transport: (open = transport) });
      },
      succeeded() {
        backoff.attempt = 0;
        ladder.succeeded();
      },
      tell(step: Step) {
        // Another attempt may have gone on from the cursor.
        if (mine.signal.aborted) return;
        cursor = step.cursor ||= cursor;
        if (step.end) close();
        sink.tell(step);
      },
      retry(base: number) {
        backoff.base = base;
      },
      room: sink.room,
    };
    if (transport === "sse") {
      await stream(attempt);
      return 0;
    }
    const before = cursor;
    const asked = Date.now();
    // The first poll finds out where it is, and whether polls are answered at all. Were it held, and broke, nobody
    // would know from which cursor to go on.
    const held = transport === "long-poll" && cursor && ladder.proven;
    if (await poll(attempt, held ? settings.wait : 0)) {
      // A hub that says that there is more and does not move is not asked without a rest.
      if (cursor !== before) return 0;
    }
    if (transport === "poll") return settings.interval;
    return held && Date.now() - asked < EMPTY_POLL_PAUSE ? EMPTY_POLL_PAUSE : 0;
  }

  function wake({ type, persisted }: Event & { persisted?: boolean }): void {
    // After a change of network, or in a page that comes back out of the browser's cache, the connection may be
    // dead without a sign. A new one costs little, and loses nothing.
    if ((type === "online" || persisted) && !named && !paused) {
      span.abort(new TidingsError("broken", "the network or the page was away"));
    } else span.check();
  }

  function close(): void {
    over = true;
    span?.abort();
    for (const event of WAKING) globalThis.removeEventListener?.(event, wake);
  }

  return {
    async run(from) {
      cursor = from;
      for (const event of WAKING) globalThis.addEventListener?.(event, wake);
      while (!over) {
        let rest = Infinity;
        named = false;
        try {
          if (!paused) rest = await attempt(ladder.rung());
        } catch (reason) {
          const error = reason as TidingsError;
          if (over) return;
          if (!paused) {
            try {
              const transport = ladder.rung();
              rest = backoff.after(error, settings, (error) => ladder.failed(error));
              named = !!error.retryAfter;
              open = undefined;
              span = new Span();
              sink.state({ status: "waiting", transport, error, retryIn: rest, attempt: backoff.attempt });
            } catch {
              close();
              sink.state({ status: "failed", error });
            }
          }
        }
        if (rest && !over) {
          if (span.signal.aborted) span = new Span();
          span.expect(rest);
          await span.over();
        }
      }
    },
    pause(pause) {
      paused = pause;
      open = undefined;
      span?.abort();
    },
    close,
  };
}
