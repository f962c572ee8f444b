import { createParser } from "eventsource-parser";
import { TidingsError } from "../error.ts";
import type { Step } from "../event.ts";
import { read } from "../request.ts";
import type { Span } from "../span.ts";

/** Reads a stream until it ends, and so always throws. */
export async function* stream(
  response: Response,
  span: Span,
  limit: number,
  silence: number,
  onRetry: (base: number) => void,
): AsyncGenerator<Step[], void> {
  let steps: Step[] = [];
  /** The id of a block that has nothing else: it moves the cursor all the same. */
  let moved: string | undefined;
  let unread = 0;
  // What throws here ends the attempt: nothing after what cannot be read counts, and the cursor does not move past it.
  const parser = createParser({
    onRetry,
    onId(id) {
      moved = id;
      unread = 0;
    },
    onEvent({ id, event, data }) {
      if (event === "tidings.end") steps.push({ cursor: id, end: true });
      // One of the hub's own that is not known is of a later version; no published one has such a type.
      else if (event === "tidings.gap" || !event?.startsWith("tidings.")) {
        const told = JSON.parse(data);
        steps.push({ cursor: told.resumed ?? told.id, [event === "tidings.gap" ? "gap" : "event"]: told, size: data.length });
        moved = "";
      }
    },
  });
  for await (const piece of read(response, span)) {
    span.patience = silence;
    span.kind = "silent";
    unread += piece.length;
    try {
      parser.feed(piece);
      if (moved) steps.push({ cursor: moved });
      moved = "";
      // This bounds what the parser keeps, and tells of a line without an end that it passes over.
      if (unread > limit) throw Error("too large");
    } finally {
      yield steps.splice(0);
    }
  }
  throw new TidingsError("ended", "by the hub");
}
