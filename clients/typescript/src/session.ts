import { Backoff } from "./backoff.ts";
import { EMPTY_POLL_PAUSE } from "./defaults.ts";
import { TidingsError } from "./error.ts";
import type { Step } from "./event.ts";
import { climb, type Transport } from "./ladder.ts";
import { blame, send } from "./request.ts";
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

/** What a page hears when it or the network comes back, or goes. */
const WAKING = ["offline", "online", "pageshow", "visibilitychange"];

/** The life of a subscription, from attempt to attempt: one loop over one cursor, whichever the transport. */
export function session(at: URL, settings: Settings, sink: Sink): Source {
  const ladder = climb(settings.transports, settings.climbAfter);
  const backoff = new Backoff();
  let cursor: string | undefined;
  let over = false;
  let paused = false;
  let span = new Span();
  /** Whether the hub itself named the time of the rest. */
  let named: number | undefined;
  /** The transport that the consumer was last told is open. */
  let open: Transport | undefined;

  async function attempt(transport: Transport): Promise<number> {
    const { signal } = (span = new Span());
    if (!open) sink.state({ status: "connecting", transport });
    const before = cursor;
    const attempt = {
      settings,
      span,
      async ask(accept: string, parameters: Record<string, string>) {
        const url = new URL(at);
        const { searchParams } = url;
        // What the URL says stands where the options say nothing.
        const since = settings.since ?? searchParams.get("since") ?? "latest";
        // Unlike `since`, which is for the first time, this is never the caller's mistake: a cursor from elsewhere is
        // a gap.
        Object.entries({ ...parameters, ...(cursor ? { lastEventId: cursor } : { since }) }).forEach((entry) =>
          searchParams.set(...entry),
        );
        const response = await send(url, settings, span, accept, { headers: { accept } });
        if (response.body) return response;
        attempt.tell({ cursor, end: true });
      },
      heard(works: boolean) {
        if (works) {
          backoff.attempt = 0;
          ladder.succeeded();
        }
        backoff.tokenRefused = false;
        if (open !== transport && !signal.aborted) sink.state({ status: "open", transport: (open = transport) });
      },
      tell(step: Step) {
        // Another attempt may have gone on from the cursor.
        if (signal.aborted) return;
        cursor = step.cursor ||= cursor;
        if (step.event) attempt.heard(true);
        if (step.end) close();
        sink.tell(step);
      },
      retry: backoff.from,
      room: sink.room,
    };
    // The first poll finds out where it is, and whether polls are answered at all. Were it held, and broke, nobody
    // would know from which cursor to go on.
    const held = transport === "long-poll" && cursor && ladder.proven() ? settings.wait : 0;
    const soon = Date.now() + EMPTY_POLL_PAUSE;
    if (transport === "sse") await stream(attempt);
    // A hub that says that there is more and does not move is not asked without a rest.
    else if (!(await poll(attempt, held)) || cursor === before) {
      if (transport === "poll") return settings.interval;
      if (held && Date.now() < soon) return EMPTY_POLL_PAUSE;
    }
    return 0;
  }

  function wake({ type }: Event): void {
    // After a change of network the connection may be dead without a sign. A new one costs little, and loses nothing.
    if (type.endsWith("line") && !named) span.abort(new TidingsError("unreachable", type));
    else span.check();
  }

  const listen = (how: "addEventListener" | "removeEventListener") =>
    WAKING.forEach((event) => globalThis[how]?.(event, wake));

  function close(): void {
    over = true;
    span.abort();
    listen("removeEventListener");
  }

  return {
    async run(from) {
      cursor = from;
      listen("addEventListener");
      while (!over) {
        let rest = Infinity;
        named = 0;
        try {
          if (!paused) rest = await attempt(ladder.rung());
        } catch (reason) {
          rest = 0;
          const error = blame(span, "malformed", reason);
          // The answer may not have been read to its end.
          span.abort();
          // Without a reason it was paused, or closed.
          if (error && !over && !paused) {
            const transport = ladder.rung();
            try {
              rest = backoff.after(error, settings, ladder.failed);
              named = error.retryAfter;
              open = undefined;
              span = new Span();
              sink.state({ status: "waiting", transport, error, retryIn: rest, attempt: backoff.attempt });
            } catch {
              sink.state({ status: "failed", error });
            }
          }
        }
        if (rest && !over) {
          if (span.signal.aborted) span = new Span();
          span.patience = rest;
          span.start();
          await span.over();
        }
      }
    },
    pause(pause) {
      paused = pause;
      open = undefined;
      span.abort();
    },
    close,
  };
}
