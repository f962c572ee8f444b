import { BACKOFF_BASE, BACKOFF_CAP, RETRY_CEILING, RETRY_FLOOR } from "./defaults.ts";

/** How long to rest before the next attempt: exponential, with full jitter, so that the clients of a hub that
 * restarts do not all come back together. */
export class Backoff {
  /** How many attempts have failed since the last success. */
  attempt = 0;
  #base = BACKOFF_BASE;

  /** Takes the hub's `retry:` as the base. */
  set base(base: number) {
    this.#base = Math.min(Math.max(base, RETRY_FLOOR), RETRY_CEILING);
  }

  /** Counts a failure, and says how long to rest. Where the hub named a time itself, it is at least that. */
  next(named?: number): number {
    const ceiling = Math.min(this.#base * 2 ** this.attempt++, Math.max(BACKOFF_CAP, this.#base));
    const jitter = Math.random() * ceiling;
    return named === undefined ? jitter : Math.min(named, RETRY_CEILING) + Math.min(jitter, this.#base);
  }
}
