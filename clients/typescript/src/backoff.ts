import { BACKOFF_BASE, BACKOFF_CAP, RETRY_CEILING, RETRY_FLOOR } from "./defaults.ts";
import type { TidingsError } from "./error.ts";
import type { RequestOptions } from "./request.ts";

/** How long to rest before the next attempt: exponential, with full jitter, so that the clients of a hub that
 * restarts do not all come back together. */
export class Backoff {
  /** How many attempts have failed since the last success. */
  attempt = 0;
  /** Whether the last token was refused, and this is the attempt with another one. */
  refused = false;
  #base = BACKOFF_BASE;

  /** Takes the hub's `retry:` as the base. */
  from = (base: number): void => {
    this.#base = Math.min(Math.max(base, RETRY_FLOOR), RETRY_CEILING);
  };

  /** Counts a failure, and says how long to rest; where the hub named a time itself, at least that. For ever where
   * another attempt would do no better. */
  after(error: TidingsError, { token }: RequestOptions, atOnce?: (error: TidingsError) => boolean): number {
    const { kind, status, retryAfter } = error;
    const ceiling = Math.min(this.#base * 2 ** this.attempt++, Math.max(BACKOFF_CAP, this.#base));
    const jitter = Math.random() * ceiling;
    if (kind === "refused") {
      if ((status !== 401 && status !== 403) || this.refused || typeof token !== "function") return Infinity;
      this.refused = true;
      return 0;
    }
    if (atOnce?.(error)) return 0;
    return retryAfter ? Math.min(retryAfter, RETRY_CEILING) + Math.min(jitter, this.#base) : jitter;
  }
}
