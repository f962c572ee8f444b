// Every number that decides how the client waits, retries and bounds what it holds, in one place. Times are in
// milliseconds. Where the Rust client has the same number, it is the same.

/** The interval of heartbeats that streams are asked for. */
export const HEARTBEAT = 15_000;
/** After how many heartbeat intervals without a byte a stream counts as dead. */
export const SILENT_HEARTBEATS = 2.5;
/** A hub keeps to intervals of heartbeats between these, whatever it is asked for. */
export const HEARTBEAT_FLOOR = 1_000;
export const HEARTBEAT_CEILING = 60_000;
/** How long the first byte of a stream may take before the next transport is tried. The hub sends its first block
 * at once; where it does not come, something on the way holds it back. */
export const FIRST_BYTE = 5_000;
/** A stream that is still heard of after this time counts as good; one that delivers an event does so at once. */
export const SETTLED = 5_000;
/** How many failures in a row, of a kind that the transport may be to blame for, end the use of streams. */
export const STREAM_FAILURES = 3;
/** How many such failures in a row end the use of polls. */
export const POLL_FAILURES = 2;
/** How long after it was given up the first transport is tried again. */
export const CLIMB_AFTER = 300_000;

/** How long a long poll asks the hub to wait. Below the 30 s after which common proxies give up. */
export const LONG_POLL_WAIT = 25_000;
/** How long the client rests between two short polls that found nothing more. */
export const POLL_INTERVAL = 5_000;
/** How soon after one long poll the next one follows where it came back empty, as from a hub that shuts down. */
export const EMPTY_POLL_PAUSE = 1_000;
/** How long a poll's answer may take beyond what it asked the hub to wait, and its body pause. */
export const POLL_GRACE = 10_000;
/** How long the body of a poll's answer may take in all: a page of a mebibyte over the slowest of networks. */
export const PAGE_TIMEOUT = 600_000;
/** The longest cursor that is sent. A hub's are far shorter; of another one the start is enough to be told that it is none. */
export const CURSOR_SIZE = 1_000;

/** The longest first delay before a reconnect; each further one may be twice as long. The hub's `retry:` takes its
 * place. */
export const BACKOFF_BASE = 1_000;
/** The longest delay before a reconnect that the hub did not ask for itself. */
export const BACKOFF_CAP = 30_000;
/** The smallest base that a hub's `retry:` can set, so that `retry: 0` does not mean a busy loop. */
export const RETRY_FLOOR = 100;
/** The longest delay that a hub's `retry:` or `Retry-After` can ask for. */
export const RETRY_CEILING = 3_600_000;

/** The longest time that a timer of JavaScript can wait; with a longer one it would not wait at all. */
export const TIMER_CEILING = 2 ** 31 - 1;

/** How long the answer to a publish may take, the upload included. */
export const PUBLISH_TIMEOUT = 60_000;
/** How long a publish is tried again before it is given up. */
export const PUBLISH_RETRY = 60_000;

/** How long a topic is kept from ending as `aborted` while its producer comes back. */
export const STREAM_GRACE = 10_000;
/** How many characters of a streamed publication are not acknowledged before no more is taken from its source. */
export const STREAM_WINDOW = 1 << 20;
/** How many characters of it are sent at once. */
export const STREAM_PIECE = 64 << 10;
/** How often a producer that has nothing to send shows that it is there. */
export const STREAM_SIGN = 15_000;

/** The largest event that is taken, in characters as it arrives. */
export const EVENT_SIZE = 32 << 20;
/** The longest message that is sent through a WebSocket, in characters. What is longer is published over HTTP, where nothing waits
 * behind it. */
export const MESSAGE_SIZE = 1 << 16;
/** A token is renewed in a WebSocket once so much of what is left of its time is over, */
export const RENEWAL = 0.8;
/** and not more often than this. */
export const RENEWAL_FLOOR = 100;
/** The largest answer to a publish, and the largest problem, that is read. */
export const ANSWER_SIZE = 1 << 20;
/** How many events, and characters of them, wait for a consumer before the client stops reading. */
export const BUFFER_EVENTS = 1_000;
export const BUFFER_SIZE = 1 << 20;
