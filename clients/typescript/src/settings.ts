import * as defaults from "./defaults.ts";
import type { Transport } from "./ladder.ts";
import type { RequestOptions } from "./request.ts";
import type { SocketTransport } from "./transports/websocket.ts";

/** Where a cursor is kept from one life of a page or program to the next. */
export interface CursorStore {
  /** The cursor that was kept; none where nothing was. */
  load(): string | null | undefined | Promise<string | null | undefined>;
  /** Keeps a cursor. It is called once what lies before the cursor is delivered. */
  save(cursor: string): unknown;
}

/** How to subscribe. All times are in milliseconds. */
export interface ConnectOptions extends RequestOptions {
  /** The transports to use, in this order; the cursor carries over. `["sse", "long-poll", "poll"]` by default. What `websocket()`
   * of `tidings/websocket` makes is one as well. */
  transports?: readonly (Exclude<Transport, "websocket"> | SocketTransport)[];
  /** Where to begin without a cursor: `latest` (the default), `earliest`, `-N`, a time or an age. */
  since?: string;
  /** What the hub makes of events that are pending at once: of each topic the `latest`, or consecutive texts joined into one
   * (`append`). Each event is sent without it. */
  conflate?: "latest" | "append";
  /** The shortest time between two deliveries, at most a minute; what comes meanwhile is pending. */
  every?: number;
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
  /** Reads JSON, instead of `JSON.parse`: for numbers that JavaScript cannot hold, for example. It is given each event, or each
   * page of them, as the hub sent it. */
  parse?: (text: string) => any;
}

/** What stands where an option says nothing. */
const DEFAULTS = {
  transports: ["sse", "long-poll", "poll"] as readonly Transport[],
  heartbeat: defaults.HEARTBEAT,
  firstByte: defaults.FIRST_BYTE,
  climbAfter: defaults.CLIMB_AFTER,
  wait: defaults.LONG_POLL_WAIT,
  interval: defaults.POLL_INTERVAL,
  buffer: defaults.BUFFER_EVENTS,
  maxEventSize: defaults.EVENT_SIZE,
  parse: JSON.parse as (text: string) => any,
};

/** The options, each with its value, and the transports by their names. */
export type Settings = Omit<ConnectOptions, "transports"> & typeof DEFAULTS & { socket?: SocketTransport };

/** Throws where an option could only make the client spin, or wait for ever. */
export function settle(options: ConnectOptions): Settings {
  const settings: any = { ...options };
  for (const [name, value] of Object.entries(DEFAULTS)) {
    const given = (settings[name] ??= value);
    const number = typeof value === "number";
    if (typeof given !== typeof value || (number && !(given >= 0))) {
      throw TypeError(`${name} is a ${number ? "number that is not negative" : typeof value}`);
    }
  }
  // As the hub does.
  settings.heartbeat = Math.min(Math.max(settings.heartbeat, defaults.HEARTBEAT_FLOOR), defaults.HEARTBEAT_CEILING);
  const transports = (settings.transports = [...settings.transports].map((transport) =>
    transport?.read ? ((settings.socket = transport), "websocket") : transport,
  ));
  if (!transports[0] || transports.some((name) => ![...DEFAULTS.transports, settings.socket && "websocket"].includes(name))) {
    throw TypeError(`transports are one or more of ${DEFAULTS.transports}, and what tidings/websocket makes`);
  }
  return settings;
}
