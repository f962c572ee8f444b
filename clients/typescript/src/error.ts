/** What an error is about:
 *
 * - `unreachable`: no answer came at all; a browser does not say whether the network, the hub or CORS is behind it.
 * - `broken`: the connection broke before the answer was complete.
 * - `ended`: the hub ended the stream, as it does when it shuts down.
 * - `late`: no answer came in time.
 * - `stalled`: a stream did not begin in time, or a WebSocket did not open; something on the way may hold it back.
 * - `silent`: an open stream was silent for so long that it counts as dead.
 * - `unavailable`: the hub, or a proxy before it, says that it cannot answer now.
 * - `refused`: the hub itself refuses the request or the token.
 * - `token`: no token could be had.
 * - `unexpected`: the answer is not one that a hub gives; a captive portal, a proxy during a deployment, or a wrong address may
 *   be behind it.
 * - `malformed`: the answer is that of a hub, but cannot be read.
 * - `store`: the cursor store failed.
 */
export type ErrorKind =
  | "unreachable"
  | "broken"
  | "ended"
  | "late"
  | "stalled"
  | "silent"
  | "unavailable"
  | "refused"
  | "token"
  | "unexpected"
  | "malformed"
  | "store";

/** What a hub says of an error (RFC 9457). */
export interface Problem {
  type?: string;
  title?: string;
  status?: number;
  detail?: string;
  /** Of a topic that has ended, why, where it was no clean end. */
  reason?: string;
}

/** Why something came to nothing, in a form that a page can show and a program can tell apart. */
export class TidingsError extends Error {
  override name = "TidingsError";
  declare readonly kind: ErrorKind;
  /** The HTTP status, where there was an answer. */
  declare readonly status?: number;
  /** What the hub said of it. */
  declare readonly problem?: Problem;
  /** How long the hub asked to wait, in milliseconds. */
  declare readonly retryAfter?: number;

  constructor(kind: ErrorKind, words: unknown, more?: object) {
    super(`${kind}: ${describe(words)}`);
    Object.assign(this, { kind, ...more });
  }
}

/** Not everything that can be thrown can be written. */
const describe = (words: unknown): string => {
  try {
    return String(words);
  } catch {
    return typeof words;
  }
};

/** Another one's error, in the client's words; Node.js keeps what happened in the cause. */
export const because = (kind: ErrorKind, cause: any): TidingsError =>
  new TidingsError(kind, cause?.cause ?? cause, { cause });
