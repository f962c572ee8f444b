/** An event, as the hub has it. */
export interface TidingsEvent<Data = any, Type extends string = string> {
  /** The id: the cursor just after this event. */
  id: string;
  /** What it was published under. */
  topic: string;
  /** The event type; absent where it has none, which counts as `message`. */
  event?: Type;
  /** When the hub took it (RFC 3339). */
  time: string;
  /** A value for JSON, a string for text, and base64 for bytes. */
  data: Data;
  /** `base64` where the data was published as bytes. */
  encoding?: "base64";
}

/** Events may be missing: what follows begins at the earliest event that the hub still holds. */
export interface Gap {
  /** `expired`: discarded by retention. `unknown`: the cursor is of another log. `ahead`: it is beyond this one's end. */
  reason: "expired" | "unknown" | "ahead";
  /** The cursor that was asked with. */
  since: string;
  /** The cursor before the first event that follows. */
  resumed: string;
}

/** What a hub told, whichever transport it came by, in the order in which it counts. */
export interface Step {
  /** Where the cursor is after this. */
  cursor: string | undefined;
  event?: TidingsEvent;
  /** How much it was, in characters. */
  size?: number;
  gap?: Gap;
  /** The topic has ended. */
  end?: boolean;
  /** Why, where it was no clean end. */
  reason?: string | undefined;
  /** Of the last step of a page: whether more may be ready now. */
  more?: boolean;
  /** Of the same: whether the hub advises to take a stream. */
  advice?: boolean;
}
