import { base64 } from "./publish.ts";

/** What is published as a stream: a `ReadableStream`, or whatever else can be iterated. */
export type Source = ReadableStream<unknown> | AsyncIterable<unknown> | Iterable<unknown>;

/** The items of a source that are not acknowledged yet, in order, each as a line. No more is taken while `room` characters wait. */
export class Outbox {
  /** The number of the first item that is not acknowledged. */
  first = 0;
  /** Whether nothing more comes. */
  over = false;
  /** Why, where the source failed or was broken off. */
  failure: { cause: unknown } | undefined;
  #lines: string[] = [];
  #size = 0;
  #room: number;
  #waiting: (() => void)[] = [];
  #stop: (cause: unknown) => unknown;

  constructor(source: Source, room: number, signal?: AbortSignal) {
    this.#room = room;
    const items = open(source);
    this.#stop = items.stop;
    const aborted = () => {
      this.#end({ cause: signal!.reason });
      this.cancel(signal!.reason);
    };
    signal?.addEventListener("abort", aborted);
    if (signal?.aborted) aborted();
    void this.#fill(items.next).finally(() => signal?.removeEventListener("abort", aborted));
  }

  async #fill(next: () => Promise<IteratorResult<unknown>>): Promise<void> {
    try {
      for (;;) {
        while (this.#size >= this.#room && !this.over) await this.change();
        if (this.over) return;
        const { done, value } = await next();
        if (this.over) return;
        if (done) return this.#end();
        const line = write(value);
        this.#lines.push(line);
        this.#size += line.length;
        this.changed();
      }
    } catch (cause) {
      this.#end({ cause });
    }
  }

  #end(failure?: { cause: unknown }): void {
    if (this.over) return;
    this.failure = failure;
    this.over = true;
    this.changed();
  }

  /** How many items wait. */
  get waits(): number {
    return this.#lines.length;
  }

  /** The items from this number on, up to about so many characters. */
  after(number: number, size: number): string[] {
    const from = number - this.first;
    let to = from;
    for (let taken = 0; to < this.#lines.length && (to === from || taken < size); to++) taken += this.#lines[to]!.length;
    return this.#lines.slice(from, to);
  }

  /** Everything before this number is durable. Says whether that is news. */
  acknowledge(number: number): boolean {
    const known = this.#lines.splice(0, number - this.first);
    for (const line of known) this.#size -= line.length;
    this.first += known.length;
    if (known[0]) this.changed();
    return !!known[0];
  }

  /** Nothing more is wanted of the source. */
  cancel(cause: unknown): void {
    this.#end({ cause });
    // It may fail in its turn, and wait for what never comes: neither changes anything.
    void (async () => this.#stop(cause))().catch(() => {});
  }

  change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  changed(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** A reader cancels a stream at once; a generator that waits would not hear of it before its next item. */
function open(source: any): { next: () => Promise<IteratorResult<unknown>>; stop: (cause: unknown) => unknown } {
  if (source?.getReader) {
    const reader = source.getReader();
    return { next: () => reader.read(), stop: (cause) => reader.cancel(cause) };
  }
  const iterator = (source?.[Symbol.asyncIterator] ?? source?.[Symbol.iterator])?.call(source);
  if (!iterator) throw TypeError("a source is a ReadableStream, or can be iterated");
  return { next: async () => iterator.next(), stop: () => iterator.return?.() };
}

/** An item, as a line of a batch. */
function write(item: unknown): string {
  if (item instanceof ArrayBuffer || ArrayBuffer.isView(item)) return `{"data":"${base64(item as BufferSource)}","encoding":"base64"}\n`;
  const data = JSON.stringify(item);
  // What has no form in JSON would be an event without data.
  if (!data) throw TypeError("undefined, functions and symbols cannot be published");
  return `{"data":${data}}\n`;
}
