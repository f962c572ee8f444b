/** Rings at a time of the clock. Timers alone are late where a page is in the background or the machine slept, so
 * `check` is also called when the page wakes. */
export class Alarm {
  #at = Infinity;
  #after = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timed = Infinity;
  #ring: () => void;

  constructor(ring: () => void) {
    this.#ring = ring;
  }

  /** Rings after `after` milliseconds instead of when it would have. Cheap where that is later: the timer that
   * runs is left to find out. */
  set(after: number): void {
    this.#after = after;
    this.#at = Date.now() + after;
    if (this.#at < this.#timed) this.check();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#at = this.#timed = Infinity;
  }

  check(): void {
    clearTimeout(this.#timer);
    this.#timed = Infinity;
    if (this.#at === Infinity) return;
    // Where the clock was put back, it is not waited for.
    const left = Math.min(this.#at - Date.now(), this.#after);
    if (left > 0) {
      this.#timed = Date.now() + left;
      this.#timer = setTimeout(() => this.check(), left);
    } else {
      this.#at = Infinity;
      this.#ring();
    }
  }
}
