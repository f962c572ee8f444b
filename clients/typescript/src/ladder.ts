import { POLL_FAILURES, SETTLED, STREAM_FAILURES } from "./defaults.ts";
import type { TidingsError } from "./error.ts";
import type { Step } from "./event.ts";

/** How events are fetched: over a WebSocket, by Server-Sent Events, by polls that the hub holds, or by polls with a rest
 * between them. */
export type Transport = "websocket" | "sse" | "long-poll" | "poll";

/** Whether it brings events as they come, for as long as it is open. */
export const isStream = (transport: Transport): boolean => !transport.endsWith("poll");

export interface Ladder {
  /** The transport for the next attempt. */
  rung(): Transport;
  /** Whether this rung has worked since it was stepped on, so that a poll may be held. */
  proven(): boolean;
  succeeded(): void;
  /** The hub says that a stream would take less than these polls. */
  advised(): void;
  /** Counts a failure. `true` where the next attempt is by another transport, and follows at once. */
  failed(error: TidingsError): boolean;
}

/** Whether a stream counts as good, with what it brought now, so long after its first piece. That it began shows little: a proxy
 * may cut it off right then. */
export const isGood = (steps: Step[], age: number): boolean => age >= SETTLED || steps.some(({ event }) => event);

/** Which transport to use now: down the list while they fail, and up again after a while.
 *
 * A fall is only believed where the lower rung works: a poll there is answered at once at first, and if that fails as well, or a
 * stream in a way that blames no transport, the transport above was not to blame. */
export function climb(rungs: readonly Transport[], climbAfter: number, now = () => performance.now()): Ladder {
  let at = 0;
  let failures = 0;
  let proven = false;
  let climbAt = Infinity;
  /** Whether advice was followed, and no stream has worked since: it is not followed again before the time to climb. */
  let heeded = false;
  const step = (to: number) => {
    at = to % rungs.length;
    if (!at) climbAt = Infinity;
    failures = 0;
    proven = false;
  };
  return {
    rung() {
      if (climbAt <= now()) {
        heeded = !climbAt;
        step(0);
        // It has one chance.
        failures = STREAM_FAILURES - 1;
      }
      return rungs[at]!;
    },
    proven: () => proven,
    succeeded() {
      failures = 0;
      proven = true;
      if (isStream(rungs[at]!)) heeded = false;
    },
    advised() {
      if (climbAt < Infinity && !heeded) climbAt = 0;
    },
    failed({ kind, status = 0 }) {
      const stalled = kind === "stalled";
      // Where the hub or the way to it is down, or the hub itself said that it cannot answer, the transport is not
      // to blame. By a stream it says so without a status of its own.
      const told = kind === "unavailable" && [0, 429, 503].includes(status);
      const blamed = kind !== "unreachable" && kind !== "token" && !told;
      if (blamed) failures++;
      const streams = isStream(rungs[at]!);
      if (stalled || failures >= (streams ? STREAM_FAILURES : POLL_FAILURES)) {
        if (!at) climbAt = now() + climbAfter;
        step(at + 1);
        return stalled && at > 0;
      }
      if (!proven && (!streams || (at && !blamed))) step(0);
      return false;
    },
  };
}
