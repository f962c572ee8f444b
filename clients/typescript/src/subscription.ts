import { BUFFER_SIZE } from "./defaults.ts";
import { report, TidingsError, wordsOf } from "./error.ts";
import type { Gap, Step, TidingsEvent } from "./event.ts";
import type { Sink, Source } from "./session.ts";
import type { Settings } from "./settings.ts";
import type { State } from "./state.ts";
import { localStore } from "./store.ts";

/** Any of the events of a map from event types to the types of their data. */
export type AnyEvent<Events> = { [Type in keyof Events & string]: TidingsEvent<Events[Type], Type> }[keyof Events & string];

/** A stream of events: listened to with `on`, or pulled with `for await`. */
export interface Subscription<Events extends object = Record<string, any>> {
  /** How it stands. */
  readonly state: State;
  /** After everything that was delivered: where another subscription can go on. */
  readonly cursor: string | undefined;

  /** Listens to events of a type, to all (`*`), to gaps, or to how the subscription stands. The result stops it.
   *
   * An event whose own type is `*`, `gap` or `state` is only told to the listeners of all. */
  on(type: "*", listener: (event: AnyEvent<Events>) => void): () => void;
  on(type: "gap", listener: (gap: Gap) => void): () => void;
  on(type: "state", listener: (state: State) => void): () => void;
  on<Type extends keyof Events & string>(type: Type, listener: (event: TidingsEvent<Events[Type], Type>) => void): () => void;

  /** Stops delivering and disconnects. */
  pause(): void;
  /** Goes on where it was. */
  resume(): void;
  /** Ends the subscription; what was not delivered yet is not. */
  close(): void;

  /** Pulls the events. Where they are taken slowly, the client stops reading: the hub holds them. `break` closes.
   * There can be one such loop. */
  [Symbol.asyncIterator](): AsyncGenerator<AnyEvent<Events>, void, undefined>;
}

const RESERVED = ["*", "gap", "state"];

export function subscribe<Events extends object>(settings: Settings, begin: (sink: Sink) => Source): Subscription<Events> {
  const store = typeof settings.store === "string" ? localStore(settings.store) : settings.store;
  const listeners: Record<string, Set<(told: any) => void>> = Object.create(null);
  let cursor = settings.cursor;
  let saved: string | undefined;
  let state: State = { status: "connecting", transport: settings.transports[0]! };
  /** What came, and is not delivered yet: the consumer is slow, paused, or not there yet. */
  let queue: Step[] = [];
  let size = 0;
  let paused = false;
  let pulled = false;
  let over = false;
  /** Those who wait for a change. */
  let waiting: (() => void)[] = [];
  const change = () => new Promise<void>((resolve) => waiting.push(resolve));
  const changed = () => waiting.splice(0).forEach((resolve) => resolve());

  function emit(type: string, told: unknown): void {
    for (const listener of listeners[type] ?? []) {
      try {
        listener(told);
      } catch (error) {
        report(error);
      }
    }
  }

  function enter(entered: State): void {
    state = entered;
    if (entered.status === "ended" || entered.status === "closed" || entered.status === "failed") {
      over = true;
      source.close();
    }
    emit("state", state);
    changed();
  }

  function take(): Step {
    const step = queue.shift()!;
    const { event, gap } = step;
    size -= step.size ?? 0;
    cursor = step.cursor;
    if (gap) emit("gap", gap);
    if (event) {
      const { event: type = "message" } = event;
      if (!RESERVED.includes(type)) emit(type, event);
      emit("*", event);
    }
    if (step.end) enter({ status: "ended" });
    changed();
    return step;
  }

  /** Gives what came to the listeners, where there are any for events. */
  function deliver(): void {
    const listened = () => Object.keys(listeners).some((type) => type !== "gap" && type !== "state" && listeners[type]!.size);
    while (queue[0] && !paused && !pulled && listened()) take();
    if (!pulled) save();
    changed();
  }

  function save(): void {
    if (!cursor || cursor === saved) return;
    saved = cursor;
    // A cursor that is not kept means events once more, and none lost.
    (async () => store?.save(saved!))().catch(report);
  }

  const source = begin({
    tell(step) {
      const last = queue.at(-1);
      // Of steps that only move the cursor, the last one is enough.
      if (last && !last.event && !last.gap) queue.pop();
      queue.push(step);
      size += step.size ?? 0;
      deliver();
    },
    state: enter,
    async room() {
      while (!over && !paused && (queue.length >= settings.buffer || size >= BUFFER_SIZE)) await change();
    },
  });

  (async () => {
    try {
      cursor = saved = (await store?.load()) || cursor;
      if (!over) source.run(cursor);
    } catch (cause) {
      enter({ status: "failed", error: new TidingsError("store", "the cursor store cannot be read: " + wordsOf(cause), { cause }) });
    }
  })();

  return {
    get state() {
      return state;
    },
    get cursor() {
      return cursor;
    },
    on(type: string, listener: (told: any) => void) {
      (listeners[type] ??= new Set()).add(listener);
      // Not at once, so that listeners that are added together hear the same.
      queueMicrotask(deliver);
      return () => void listeners[type]!.delete(listener);
    },
    pause() {
      if (over || paused) return;
      paused = true;
      source.pause(true);
      enter({ status: "paused" });
    },
    resume() {
      if (over || !paused) return;
      paused = false;
      source.pause(false);
      deliver();
    },
    close() {
      if (over) return;
      queue = [];
      enter({ status: "closed" });
    },
    async *[Symbol.asyncIterator]() {
      if (pulled) throw new TypeError("a subscription is pulled from in one place only: connect again for another");
      pulled = true;
      try {
        for (;;) {
          while (paused || !queue[0]) {
            if (state.status === "failed") throw state.error;
            if (over) return;
            await change();
          }
          const { event } = take();
          if (event) yield event as AnyEvent<Events>;
          save();
        }
      } finally {
        save();
        this.close();
      }
    },
  };
}
