import { POLL_FAILURES, STREAM_FAILURES } from "./defaults.ts";
import type { TidingsError } from "./error.ts";

/** How events are fetched: by Server-Sent Events, by polls that the hub holds, or by polls with a rest between them. */
export type Transport = "sse" | "long-poll" | "poll";

/** Which transport to use now: down the list while they fail, and up again after a while.
 *
 * A fall is only believed where the lower rung works: it begins with a poll that is answered at once, and if that
 * fails as well, the transport above was not to blame. */
export class Ladder {
  /** Whether this rung has worked since it was stepped on, so that a poll may be held. */
  proven = false;
  #rungs: readonly Transport[];
  #climbAfter: number;
  #at = 0;
  #failures = 0;
  #climbAt = Infinity;

  constructor(rungs: readonly Transport[], climbAfter: number) {
    this.#rungs = rungs;
    this.#climbAfter = climbAfter;
  }

  /** The transport for the next attempt. */
  rung(): Transport {
    if (this.#climbAt <= Date.now()) {
      this.#step(0);
      // It has one chance.
      this.#failures = STREAM_FAILURES - 1;
    }
    return this.#rungs[this.#at]!;
  }

  succeeded(): void {
    this.#failures = 0;
    this.proven = true;
  }

  /** Counts a failure. `true` where the next attempt is by another transport, and follows at once. */
  failed({ kind, status }: TidingsError): boolean {
    const rungs = this.#rungs;
    if (!rungs[1]) return false;
    const surely = kind === "stalled";
    // Where the hub or the way to it is down, or the hub itself said that it cannot answer, the transport is not
    // to blame.
    if (kind !== "unreachable" && kind !== "token" && status !== 429 && status !== 503) this.#failures++;
    const streams = rungs[this.#at] === "sse";
    if (surely || this.#failures >= (streams ? STREAM_FAILURES : POLL_FAILURES)) {
      if (!this.#at) this.#climbAt = Date.now() + this.#climbAfter;
      this.#step(!streams && !this.proven ? 0 : (this.#at + 1) % rungs.length);
      return surely;
    }
    if (!streams && this.#at && !this.proven) this.#step(0);
    return false;
  }

  #step(to: number): void {
    this.#at = to;
    this.#failures = 0;
    this.proven = false;
    if (!to) this.#climbAt = Infinity;
  }
}
