import { type ErrorKind, TidingsError } from "./error.ts";

/** An attempt, or the rest before the next one: it is aborted by hand, or when its time is up. */
export class Span extends AbortController {
  /** How long it may take, from each start. */
  patience = Infinity;
  /** What it is then. */
  kind: ErrorKind = "late";
  #until = Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;

  start(): void {
    this.#until = Date.now() + this.patience;
    this.check();
  }

  stop(): void {
    this.#until = Infinity;
    this.check();
  }

  /** Goes by the clock. A timer alone is late where a page is in the background or the machine slept, so this is
   * also called when the page wakes. */
  check(): void {
    clearTimeout(this.#timer);
    // Where the clock was put back, it is not waited for.
    const left = Math.min(this.#until - Date.now(), this.patience);
    if (left <= 0) this.abort(new TidingsError(this.kind, "too late"));
    else if (this.#until < Infinity) this.#timer = setTimeout(() => this.check(), left);
  }

  /** Without a reason where it is not to fail, but to end. */
  override abort(reason: unknown = 0): void {
    clearTimeout(this.#timer);
    super.abort(reason);
  }

  /** Resolves once it is aborted. */
  over(): Promise<unknown> {
    return new Promise((resolve) => {
      this.signal.onabort = resolve;
      if (this.signal.aborted) resolve(0);
    });
  }
}
