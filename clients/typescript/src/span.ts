import { TIMER_CEILING } from "./defaults.ts";
import { because, type ErrorKind, TidingsError } from "./error.ts";

/** An attempt, or the rest before the next one: it is aborted by hand, or when its time is up. */
export class Span extends AbortController {
  /** How long it may take, from each start. */
  patience = Infinity;
  /** When it is over, however often it is started: something that comes a byte at a time is not waited for for ever. */
  due = Infinity;
  /** What it is then. */
  kind: ErrorKind = "late";
  /** What it is where something fails now. */
  #doing: ErrorKind | undefined;
  #until = Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Starts its time anew, for something that may fail like this. */
  start(doing?: ErrorKind): void {
    this.#doing = doing;
    this.#until = Math.min(Date.now() + this.patience, this.due);
    this.check();
  }

  /** What came is dealt with, and may take as long as it likes. */
  stop(): void {
    this.#doing = "malformed";
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
    else if (this.#until < Infinity) this.#timer = setTimeout(() => this.check(), Math.min(left, TIMER_CEILING));
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

  /** Why it failed. What was aborted failed for the reason that it was aborted for. */
  blame(cause: unknown): any {
    return this.signal.aborted ? this.signal.reason : cause instanceof TidingsError ? cause : because(this.#doing!, cause);
  }
}
