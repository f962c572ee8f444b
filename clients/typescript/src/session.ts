import { Backoff } from "./backoff.ts";
import { CURSOR_SIZE, EMPTY_POLL_PAUSE, POLL_GRACE, SILENT_HEARTBEATS } from "./defaults.ts";
import { TidingsError } from "./error.ts";
import type { Step } from "./event.ts";
import { climb, isGood, isStream, type Transport } from "./ladder.ts";
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

/** What a page hears when it or the network comes back, or goes. */
const WAKING = ["offline", "online", "pageshow", "visibilitychange"];

/** The life of a subscription, from attempt to attempt: one loop over one cursor, whichever the transport. */
export function session(at: URL, settings: Settings, sink: Sink): Source {
  const ladder = climb(settings.transports, settings.climbAfter);
  const backoff = new Backoff();
  const life = new AbortController();
  let cursor: string | undefined;
  let paused = false;
  let span = new Span();
  /** Whether the hub itself named the time of the rest. */
  let named: number | undefined;
  /** The transport that the consumer was last told is open. */
  let open: Transport | undefined;

  function opened(transport: Transport): void {
    if (open !== transport && !life.signal.aborted) sink.state({ status: "open", transport: (open = transport) });
  }

  async function attempt(transport: Transport): Promise<number> {
    const { signal } = (span = new Span());
    if (!open) sink.state({ status: "connecting", transport });
    const streams = isStream(transport);
    const silence = settings.heartbeat * SILENT_HEARTBEATS;
    // The first poll finds out where it is, and whether polls are answered at all. Were it held, and broke, nobody
    // would know from which cursor to go on.
    const held = transport === "long-poll" && cursor && ladder.proven() ? settings.wait : 0;
    const soon = performance.now() + EMPTY_POLL_PAUSE;
    const url = new URL(at);
    const parameters = url.searchParams;
    let accept = "application/json";
    span.patience = held + POLL_GRACE;
    if (streams) {
      accept = "text/event-stream";
      parameters.set("envelope", "true");
      parameters.set("heartbeat", `${settings.heartbeat / 1000}`);
      // Where nothing else is tried, giving up on a stream early wins nothing.
      span.patience = settings.transports[1] ? settings.firstByte : silence;
      span.kind = "stalled";
    } else parameters.set("wait", held + "ms");
    // Unlike `since`, which is for the first time, this is never the caller's mistake: a cursor from elsewhere is a gap.
    if (cursor) parameters.set("lastEventId", cursor.slice(0, CURSOR_SIZE));
    // What the URL says stands where the options say nothing.
    else parameters.set("since", settings.since ?? parameters.get("since") ?? "latest");
    let batches;
    if (transport === "websocket") batches = settings.socket!.read(url, span, settings, silence);
    else {
      const response = await send(url, settings, span, accept);
      batches =
        response.status === 204
          ? [[{ cursor, end: true }]]
          : streams
            ? stream(response, span, settings, silence, backoff.from)
            : [poll(response, span, settings)];
    }
    let began: number | undefined;
    let good = !streams;
    let found;
    for await (const steps of batches as Iterable<Step[]>) {
      // Another attempt may have gone on from the cursor.
      if (signal.aborted) return 0;
      began ??= performance.now();
      for (const step of steps) {
        if (step.end) step.cursor ||= cursor;
        else if (!step.cursor || typeof step.cursor !== "string") throw Error("no cursor");
        // A hub that says that there is more and does not move is not asked without a rest.
        found ||= (step.more || step.size) && step.cursor !== cursor;
        cursor = step.cursor;
        if (step.advice) ladder.advised();
        if (step.end) close();
        // Who hears that it is open has a cursor: nothing that is published from now on can be missed.
        if (step.size) opened(transport);
        sink.tell(step);
        if (!step.end) opened(transport);
        if (signal.aborted) return 0;
      }
      if ((good ||= isGood(steps, performance.now() - began))) {
        backoff.attempt = 0;
        ladder.succeeded();
      }
      backoff.refused = false;
      await sink.room();
    }
    // A long poll that waited for as long as it was to needs no rest.
    return found ? 0 : transport === "poll" ? settings.interval : held && soon - performance.now();
  }

  function wake({ type }: Event): void {
    // After a change of network the connection may be dead without a sign. A new one costs little, and loses nothing.
    if (type.endsWith("line") && !named) span.abort(new TidingsError("unreachable", type));
    else span.check();
  }

  function close(): void {
    life.abort();
    span.abort();
  }

  return {
    async run(from) {
      const { signal } = life;
      cursor = from;
      for (const event of WAKING) globalThis.addEventListener?.(event, wake, { signal });
      while (!signal.aborted) {
        const transport = ladder.rung();
        let rest = Infinity;
        named = 0;
        try {
          if (!paused) rest = await attempt(transport);
        } catch (cause) {
          rest = 0;
          const error = span.blame(cause);
          // The answer may not have been read to its end.
          span.abort();
          // Without a reason it was paused, or closed.
          if (error && !paused) {
            rest = backoff.after(error, settings, ladder.failed);
            named = error.retryAfter;
            open = undefined;
            sink.state(
              rest < Infinity
                ? { status: "waiting", transport, error, retryIn: rest, attempt: backoff.attempt }
                : { status: "failed", error },
            );
          }
        }
        if (rest && !signal.aborted) {
          span = new Span();
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
