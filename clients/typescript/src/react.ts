"use client";

import { useMemo, useSyncExternalStore } from "react";
import type { Gap, TidingsEvent } from "./event.ts";
import { connect, type ShareOptions } from "./share/index.ts";
import type { State } from "./state.ts";
import type { AnyEvent, Subscription } from "./subscription.ts";
import { text, type TextOptions } from "./text.ts";

/** How many events `useEvents` keeps. */
const KEEP = 100;
/** Changes within so many milliseconds are one render: about a frame. */
const FRAME = 16;
/** How long a subscription outlives its last component. One that is mounted again, as in StrictMode or on the next page, finds it open. */
const LINGER = 1_000;

/** Which components share a subscription: those with the same URL and the same options. Functions, and objects that JSON cannot hold, do not
 * count; those of the component that was mounted first are used. */
interface Shared {
  /** Who reads, where that changes while the page stays: another user has another subscription. */
  user?: string | undefined;
}

export type EventsOptions = ShareOptions & Shared & { /** How many events to keep: 100 by default. */ keep?: number };
export type ReadOptions = ShareOptions & Shared;
export type TextStreamOptions = TextOptions & Shared;

/** What every hook returns besides: how the subscription stands, and the last gap, where events may be missing. */
export interface Standing {
  state: State;
  gap?: Gap | undefined;
}

/** What to read. Without a URL, nothing is read yet. */
export type Source = string | URL | null | undefined | false;

/** A subscription that is open, and the listeners of the components that share it. */
interface Store<Value> {
  /** What they have: made anew at most once a frame, and the same until then. */
  value: Value;
  listeners: Set<() => void>;
  close(): void;
  closing?: ReturnType<typeof setTimeout>;
}

/** Those that are open, by what they read. */
const stores = new Map<string, Store<any>>();

/** What a component has before it is mounted, and on a server. */
const nothing: Standing = { state: { status: "connecting", transport: "sse" } };
const noEvents = { ...nothing, events: [] };
const noEvent = { ...nothing, event: undefined };
const noTable = { ...nothing, table: new Map() };
const noText = { ...nothing, text: "" };

/** Reads a store, which is opened for the first component that is mounted, and closed after the last one. Nothing is opened while a
 * component renders: so it may render on a server, twice, or in vain. */
function useStore<Value>(
  from: Source,
  kind: string,
  options: Shared,
  empty: Value,
  open: (changed: () => void) => { read(): Value; close(): void },
): Value {
  const key = from ? JSON.stringify([kind, `${from}`, options]) : "";
  const [subscribe, read] = useMemo(() => {
    const start = (): Store<Value> => {
      let due: unknown;
      const { read, close } = open(() => {
        due ??= setTimeout(() => {
          due = undefined;
          store.value = read();
          for (const listener of [...store.listeners]) listener();
        }, FRAME);
      });
      const store: Store<Value> = { value: empty, listeners: new Set(), close };
      stores.set(key, store);
      return store;
    };
    const subscribe = (listener: () => void) => {
      if (!key) return () => {};
      const store: Store<Value> = stores.get(key) ?? start();
      clearTimeout(store.closing);
      store.listeners.add(listener);
      return () => {
        store.listeners.delete(listener);
        if (store.listeners.size) return;
        store.closing = setTimeout(() => {
          stores.delete(key);
          store.close();
        }, LINGER);
      };
    };
    return [subscribe, (): Value => stores.get(key)?.value ?? empty] as const;
  }, [key]);
  return useSyncExternalStore(subscribe, read, () => empty);
}

/** Reads what events add up to. */
function useReading<Value extends object>(
  from: Source,
  kind: string,
  { user, ...options }: ReadOptions,
  empty: Value & Standing,
  fold: () => { add(event: any): void; read(): Value; reset?(): void },
): Value & Standing {
  return useStore(from, kind, { user, ...options }, empty, (changed) => {
    const { add, read, reset } = fold();
    const events: Subscription = connect(from as string, options);
    let gap: Gap | undefined;
    events.on("*", (event) => (add(event), changed()));
    events.on("gap", (told) => ((gap = told), reset?.(), changed()));
    events.on("state", changed);
    return { read: () => ({ ...read(), state: events.state, gap }), close: events.close };
  });
}

/** The newest events, the oldest of them first. */
export function useEvents<Events extends object = Record<string, any>>(
  from: Source,
  { keep = KEEP, ...options }: EventsOptions = {},
): Standing & { events: readonly AnyEvent<Events>[] } {
  return useReading(from, `events${keep}`, options, noEvents, () => {
    let events: AnyEvent<Events>[] = [];
    return {
      // Twice as many at most, so that they are not moved for each that comes.
      add: (event) => events.push(event) > 2 * keep && (events = events.slice(-keep)),
      read: () => ({ events: keep ? events.slice(-keep) : [] }),
    };
  });
}

/** The newest event: the last one that there is already, and then each that comes. */
export function useLatest<Data = any>(from: Source, options: ReadOptions = {}): Standing & { event: TidingsEvent<Data> | undefined } {
  return useReading<{ event: TidingsEvent<Data> | undefined }>(from, "latest", { since: "-1", ...options }, noEvent, () => {
    let event: TidingsEvent<Data> | undefined;
    return { add: (newest) => (event = newest), read: () => ({ event }) };
  });
}

/** The newest event of each topic, by topic. Older ones are not sent. */
export function useTable<Data = any>(from: Source, options: ReadOptions = {}): Standing & { table: ReadonlyMap<string, TidingsEvent<Data>> } {
  return useReading(from, "table", { since: "earliest", conflate: "latest", ...options }, noTable, () => {
    const table = new Map<string, TidingsEvent<Data>>();
    return { add: (event) => table.set(event.topic, event), read: () => ({ table: new Map(table) }), reset: () => table.clear() };
  });
}

/** The text that a topic adds up to, as it is written. */
export function useTextStream(from: Source, { user, ...options }: TextStreamOptions = {}): Standing & { text: string } {
  return useStore(from, "text", { user, ...options }, noText, (changed) => {
    const stream = text(from as string, options);
    stream.on(changed);
    return { read: () => ({ text: stream.value, state: stream.state }), close: stream.close };
  });
}
