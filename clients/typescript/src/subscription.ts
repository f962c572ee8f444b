import { BUFFER_SIZE } from "./defaults.ts";
import { because } from "./error.ts";
import type { Gap, Step, TidingsEvent } from "./event.ts";
import type { Sink, Source } from "./session.ts";
import type { Settings } from "./settings.ts";
import type { State } from "./state.ts";

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

export function subscribe<Events extends object>(settings: Settings, begin: (sink: Sink) => Source): Subscription<Events> {
  const { store } = settings;
  const listeners = new Set<[type: string, listener: (told: any) => void]>();
  let cursor = settings.cursor;
  let state: State = { status: "connecting", transport: settings.transports[0]! };
  /** What came, and is not delivered yet: the consumer is slow, paused, or not there yet. */
  let queue: Step[] = [];
  let size = 0;
  let paused = false;
  let pulled = false;
  let over = false;
  /** The cursor that is to be kept, and the last one that the store was given. */
  let due: string | undefined;
  let saved: string | undefined;
  let saving = false;
  /** Those who wait for a change. */
  let waiting: (() => void)[] = [];
  const change = () => new Promise<void>((resolve) => waiting.push(resolve));
  const changed = () => {
    for (const resolve of waiting.splice(0)) resolve();
  };

  function emit(told: unknown, type: string, all?: string): void {
    for (const [of, listener] of [...listeners]) {
      if (of !== type && of !== all) continue;
      try {
        listener(told);
      } catch (cause) {
        // It is none of the client's: it ends up where uncaught errors do.
        queueMicrotask(() => {
          throw cause;
        });
      }
    }
  }

  function enter(entered: State): void {
    // Nothing comes after the end.
    if (over) return;
    const { storeError } = state;
    state = storeError ? { ...entered, storeError } : entered;
    if (["ended", "closed", "failed"].includes(state.status)) {
      over = true;
      source.close();
    }
    emit(state, "state");
    changed();
  }

  function take(): Step {
    const step = queue.shift()!;
    const { event, gap, reason } = step;
    size -= step.size ?? 0;
    cursor = step.cursor;
    if (gap) emit(gap, "gap");
    if (event) emit(event, "*", ["gap", "state"].includes(event.event!) ? "*" : (event.event ?? "message"));
    if (step.end) enter({ status: "ended", ...(reason && { reason }) });
    changed();
    return step;
  }

  /** Gives what came to the listeners, where there are any for events. */
  function deliver(): void {
    const heard = ({ gap, size }: Step) =>
      !size || [...listeners].some(([type]) => !["gap", "state"].includes(type) || (gap && type === "gap"));
    while (queue[0] && !paused && !pulled && heard(queue[0])) {
      take();
      save();
    }
    changed();
  }

  /** Keeps the cursor. A store that is slow is given the newest one once it has kept the last: of those that were due, as one
   * who pulls may be busy with what lies before the cursor of now. */
  async function save(): Promise<void> {
    due = cursor;
    if (saving || !store) return;
    saving = true;
    while (due && due !== saved) {
      saved = due;
      let storeError;
      try {
        await store.save(saved);
      } catch (cause) {
        // A cursor that is not kept means events once more, and none lost.
        storeError = because("store", cause);
      }
      // Only the first failure is told, and that it is over.
      if (!storeError !== !state.storeError) {
        const { storeError: _, ...rest } = state;
        emit((state = { ...rest, ...(storeError && { storeError }) }), "state");
      }
    }
    saving = false;
  }

  const source = begin({
    tell(step) {
      // Of steps that only move the cursor, the last one is enough.
      if (!queue.at(-1)?.size) queue.pop();
      queue.push(step);
      size += step.size ?? 0;
      deliver();
    },
    state: enter,
    async room() {
      // An empty queue has room, whatever the bounds are.
      while (!over && !paused && queue[0] && (queue.length >= settings.buffer || size >= BUFFER_SIZE)) await change();
    },
  });

  (async () => {
    try {
      cursor = (await store?.load()) || cursor;
      if (!over) source.run(cursor);
    } catch (cause) {
      enter({ status: "failed", error: because("store", cause) });
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
      const entry: [string, typeof listener] = [type, listener];
      listeners.add(entry);
      // Not at once, so that listeners that are added together hear the same.
      queueMicrotask(deliver);
      return () => listeners.delete(entry);
    },
    pause() {
      paused = true;
      source.pause(true);
      enter({ status: "paused" });
    },
    resume() {
      if (!paused || over) return;
      paused = false;
      source.pause(false);
      deliver();
    },
    close() {
      queue = [];
      enter({ status: "closed" });
    },
    async *[Symbol.asyncIterator]() {
      if (pulled) throw Error("one loop only");
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
