import type { TidingsError } from "./error.ts";
import type { Transport } from "./ladder.ts";

/** How a subscription stands, for a page to show. */
export type State = Standing & {
  /** Why the cursor store did not keep the last cursor. What follows is delivered all the same; whoever begins from the store
   * gets some events once more. */
  storeError?: TidingsError;
};

type Standing =
  /** An attempt is under way. */
  | { status: "connecting"; transport: Transport }
  /** The hub answers. Where the subscription began at `latest`, all that is published from now on is delivered. */
  | { status: "open"; transport: Transport }
  /** An attempt came to nothing, or a connection to its end, for this reason. The next attempt follows after
   * `retryIn` milliseconds, sooner where the network comes back. Nothing is lost and nothing comes twice. */
  | { status: "waiting"; transport: Transport; error: TidingsError; retryIn: number; attempt: number }
  | { status: "paused" }
  /** The topic has ended, and everything in it is delivered. Nothing follows. `reason` is there where it was no clean end: `aborted`
   * where its producer broke off, `stopped` where somebody stopped it. */
  | { status: "ended"; reason?: string }
  /** The subscription was closed by its user. */
  | { status: "closed" }
  /** It came to its end for this reason: another attempt would do no better. */
  | { status: "failed"; error: TidingsError };
