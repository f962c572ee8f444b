import * as defaults from "./defaults.ts";
import type { Transport } from "./ladder.ts";
import type { RequestOptions } from "./request.ts";

/** Where a cursor is kept from one life of a page or program to the next. */
export interface CursorStore {
  /** The cursor that was kept; none where nothing was. */
  load(): string | null | undefined | Promise<string | null | undefined>;
  /** Keeps a cursor. It is called once what lies before the cursor is delivered. */
  save(cursor: string): unknown;
}

/** How to subscribe. All times are in milliseconds. */
export interface ConnectOptions extends RequestOptions {
  /** The transports to use, in this order; the cursor carries over. `["sse", "long-poll", "poll"]` by default. */
  transports?: readonly Transport[];
  /** Where to begin without a cursor: `latest` (the default), `earliest`, `-N`, a time or an age. */
  since?: string;
  /** Goes on after this cursor. One that the store keeps comes before it. */
  cursor?: string | undefined;
  /** Keeps the cursor: `localStore(name)`, or a store of your own. */
  store?: CursorStore;
  /** The interval of heartbeats to ask for, 1 s to 60 s. A stream that is silent for two and a half of them counts
   * as dead. */
  heartbeat?: number;
  /** How long a stream may take to begin before the next transport is tried. */
  firstByte?: number;
  /** How long after it was given up the first transport is tried again. */
  climbAfter?: number;
  /** How long a long poll asks the hub to wait. */
  wait?: number;
  /** How long to rest between two short polls. */
  interval?: number;
  /** How many events wait for the consumer before the client stops reading. */
  buffer?: number;
  /** The largest event that is taken, in characters as it arrives. A larger one makes the client try again and
   * again, for it must not be passed over. */
  maxEventSize?: number;
}

/** The options, each with its value. */
export type Settings = ConnectOptions &
  Required<
    Pick<ConnectOptions, "transports" | "heartbeat" | "firstByte" | "climbAfter" | "wait" | "interval" | "buffer" | "maxEventSize">
  >;

export function settle(options: ConnectOptions): Settings {
  return {
    transports: ["sse", "long-poll", "poll"],
    heartbeat: defaults.HEARTBEAT,
    firstByte: defaults.FIRST_BYTE,
    climbAfter: defaults.CLIMB_AFTER,
    wait: defaults.LONG_POLL_WAIT,
    interval: defaults.POLL_INTERVAL,
    buffer: defaults.BUFFER_EVENTS,
    maxEventSize: defaults.EVENT_SIZE,
    ...options,
  };
}
