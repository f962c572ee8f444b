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
  #at = 0;
  #failures = 0;
  #climbAfter: number;
  #climbAt = Infinity;

  constructor(rungs: readonly Transport[], climbAfter: number) {
    this.#rungs = rungs;
    this.#climbAfter = climbAfter;
  }

  /** Whether something else is tried where a stream does not begin. */
  get mayFall(): boolean {
    return this.#rungs.length > 1;
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
    if (!this.mayFall) return false;
    const surely = kind === "stalled";
    // Where the hub or the way to it is down, or the hub itself said that it cannot answer, the transport is not
    // to blame.
    if (!["unreachable", "token", "refused"].includes(kind) && status !== 429 && status !== 503) this.#failures++;
    const next = (this.#at + 1) % this.#rungs.length;
    if (this.#rungs[this.#at] === "sse") {
      if (surely || this.#failures >= STREAM_FAILURES) {
        this.#step(next, Date.now() + this.#climbAfter);
        return surely;
      }
    } else if (this.#at && !this.proven) {
      this.#step(0);
    } else if (this.#failures >= POLL_FAILURES) {
      this.#step(next, this.#at ? this.#climbAt : Date.now() + this.#climbAfter);
    }
    return false;
  }

  #step(to: number, climbAt = Infinity): void {
    this.#at = to;
    this.#failures = 0;
    this.proven = false;
    this.#climbAt = to ? climbAt : Infinity;
  }
}
