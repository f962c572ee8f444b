import { BUFFER_SIZE } from "./defaults.ts";
import { report, TidingsError, wordsOf } from "./error.ts";
import type { Gap, Step, TidingsEvent } from "./event.ts";
import type { Sink, Source } from "./session.ts";
import type { ConnectOptions, CursorStore, Settings } from "./settings.ts";
import type { State } from "./state.ts";
import { localStore } from "./store.ts";

/** Any of the events of a map from event types to the types of their data. */
export type AnyEvent<Events> = { [Type in keyof Events & string]: TidingsEvent<Events[Type], Type> }[keyof Events & string];

/** A stream of events: listened to with `on`, or pulled with `for await`. */
export class Subscription<Events extends object = Record<string, any>> {
  /** How it stands. */
  state: State = { status: "connecting", transport: "sse" };
  /** After everything that was delivered: where another subscription can go on. */
  cursor: string | undefined;
  #source: Source;
  #settings: Settings;
  #store: CursorStore | undefined;
  #saved: string | undefined;
  #listeners = new Map<string, Set<(told: any) => void>>();
  /** What came, and is not delivered yet: the consumer is slow, paused, or not there yet. */
  #queue: Step[] = [];
  #size = 0;
  #paused = false;
  #pulled = false;
  #error: TidingsError | undefined;
  #over = false;
  /** Those who wait for a change. */
  #waiting: (() => void)[] = [];

  /** @internal Use `connect`. */
  constructor(options: ConnectOptions, settings: Settings, source: (sink: Sink) => Source) {
    const { store, cursor } = options;
    this.#settings = settings;
    this.#store = typeof store === "string" ? localStore(store) : store;
    this.cursor = cursor;
    this.#source = source({
      tell: (step) => {
        const last = this.#queue.at(-1);
        // Of steps that only move the cursor, the last one is enough.
        if (last && !last.event && !last.gap && !last.end) this.#queue.pop();
        this.#queue.push(step);
        this.#size += step.size ?? 0;
        this.#deliver();
      },
      state: (state) => {
        if (state.status === "failed") this.#error = state.error;
        this.#enter(state);
      },
      room: () => {
        const full = () => !this.#over && (this.#queue.length >= this.#settings.buffer || this.#size >= BUFFER_SIZE);
        if (full())
          return (async () => {
            while (full()) await this.#change();
          })();
      },
    });
    void this.#begin();
  }

  /** Listens to events of a type, to all (`*`), to gaps, or to how the subscription stands. The result stops it.
   *
   * An event whose own type is `*`, `gap` or `state` is only told to the listeners of all. */
  on(type: "*", listener: (event: AnyEvent<Events>) => void): () => void;
  on(type: "gap", listener: (gap: Gap) => void): () => void;
  on(type: "state", listener: (state: State) => void): () => void;
  on<Type extends keyof Events & string>(type: Type, listener: (event: TidingsEvent<Events[Type], Type>) => void): () => void;
  on(type: string, listener: (told: any) => void): () => void {
    let listeners = this.#listeners.get(type);
    if (!listeners) this.#listeners.set(type, (listeners = new Set()));
    listeners.add(listener);
    // Not at once, so that listeners that are added together hear the same.
    queueMicrotask(() => this.#deliver());
    return () => void listeners.delete(listener);
  }

  /** Stops delivering and disconnects. */
  pause(): void {
    if (this.#over || this.#paused) return;
    this.#paused = true;
    this.#source.pause();
    this.#enter({ status: "paused" });
  }

  /** Goes on where it was. */
  resume(): void {
    if (this.#over || !this.#paused) return;
    this.#paused = false;
    this.#source.resume();
    this.#deliver();
    this.#changed();
  }

  /** Ends the subscription; what was not delivered yet is not. */
  close(): void {
    if (this.#over) return;
    this.#queue = [];
    this.#enter({ status: "closed" });
  }

  /** Pulls the events. Where they are taken slowly, the client stops reading: the hub holds them. `break` closes.
   * There can be one such loop. */
  async *[Symbol.asyncIterator](): AsyncGenerator<AnyEvent<Events>, void, undefined> {
    if (this.#pulled) throw new TypeError("a subscription can be pulled from in one place only: connect again for another");
    this.#pulled = true;
    try {
      for (;;) {
        while (this.#paused || !this.#queue.length) {
          if (this.#over) {
            if (this.#error) throw this.#error;
            return;
          }
          await this.#change();
        }
        const { event } = this.#take();
        if (event) yield event as AnyEvent<Events>;
        this.#save();
      }
    } finally {
      this.#save();
      this.close();
    }
  }

  async #begin(): Promise<void> {
    try {
      const cursor = await this.#store?.load();
      this.#saved = cursor ?? undefined;
      this.cursor = cursor || this.cursor;
    } catch (cause) {
      const error = new TidingsError("store", `the cursor store cannot be read: ${wordsOf(cause)}`, { cause });
      this.#error = error;
      return this.#enter({ status: "failed", error });
    }
    if (!this.#over) this.#source.run(this.cursor);
  }

  #deliver(): void {
    const listened = () => [...this.#listeners].some(([type, { size }]) => size && type !== "gap" && type !== "state");
    while (this.#queue.length && !this.#paused && !this.#pulled && listened()) this.#take();
    if (!this.#pulled) this.#save();
    this.#changed();
  }

  #take(): Step {
    const step = this.#queue.shift()!;
    const { event, gap, end } = step;
    this.#size -= step.size ?? 0;
    this.cursor = step.cursor;
    if (gap) this.#emit("gap", gap);
    if (event) {
      const type = event.event ?? "message";
      if (type !== "gap" && type !== "state" && type !== "*") this.#emit(type, event);
      this.#emit("*", event);
    }
    if (end) this.#enter({ status: "ended" });
    this.#changed();
    return step;
  }

  #enter(state: State): void {
    this.state = state;
    if (state.status === "ended" || state.status === "closed" || state.status === "failed") {
      this.#over = true;
      this.#source.close();
    }
    this.#emit("state", state);
    this.#changed();
  }

  #emit(type: string, told: unknown): void {
    for (const listener of this.#listeners.get(type) ?? []) {
      try {
        listener(told);
      } catch (error) {
        report(error);
      }
    }
  }

  #save(): void {
    const { cursor } = this;
    if (!cursor || cursor === this.#saved) return;
    this.#saved = cursor;
    // A cursor that is not kept means events once more, and none lost.
    Promise.resolve(cursor).then((cursor) => this.#store?.save(cursor)).catch(report);
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #changed(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
