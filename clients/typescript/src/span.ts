import { type ErrorKind, TidingsError } from "./error.ts";

const words: { [kind in ErrorKind]?: string } = {
  late: "no answer came in time",
  stalled: "the stream did not begin in time",
  silent: "the stream was silent for too long",
};

/** An attempt, or the rest before the next one: it is aborted by hand, or when its time is up. */
export class Span extends AbortController {
  #at = Infinity;
  #patience = 0;
  #kind: ErrorKind | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Its time is up after `patience` from now; for an attempt, with an error of this kind. */
  expect(patience: number, kind?: ErrorKind): void {
    this.#patience = patience;
    this.#at = Date.now() + patience;
    this.#kind = kind;
    this.check();
  }

  /** Goes by the clock. A timer alone is late where a page is in the background or the machine slept, so this is
   * also called when the page wakes. */
  check(): void {
    clearTimeout(this.#timer);
    // Where the clock was put back, it is not waited for.
    const left = Math.min(this.#at - Date.now(), this.#patience);
    if (left <= 0) this.abort(this.#kind && new TidingsError(this.#kind, words[this.#kind]!));
    else if (left < Infinity && !this.signal.aborted) this.#timer = setTimeout(() => this.check(), left);
  }

  override abort(reason?: unknown): void {
    clearTimeout(this.#timer);
    super.abort(reason);
  }

  /** Resolves once it is aborted. */
  over(): Promise<unknown> {
    return new Promise((resolve) => {
      this.signal.addEventListener("abort", resolve);
      if (this.signal.aborted) resolve(0);
    });
  }
}
