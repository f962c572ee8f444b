import { TidingsError } from "../error.ts";
import type { Step } from "../event.ts";
import { Parser } from "../parser.ts";
import { read } from "../request.ts";
import type { Settings } from "../settings.ts";
import type { Span } from "../span.ts";

/** Reads a stream until it ends, and so always throws. */
export async function* stream(
  response: Response,
  span: Span,
  { maxEventSize, parse }: Settings,
  silence: number,
  onRetry: (base: number) => void,
): AsyncGenerator<Step[], void> {
  let steps: Step[] = [];
  let unread = 0;
  /** Whether the hub named a time to come back, and nothing else so far. */
  let postponed: boolean | undefined;
  /** The last comment, which says why. */
  let why: string | undefined;
  // What throws here ends the attempt: nothing after what cannot be read counts, and the cursor does not move past it.
  const parser = new Parser(
    (base) => {
      postponed ??= true;
      onRetry(base);
    },
    ({ id, event, data, comment }) => {
      why = comment || why;
      const gap = event === "tidings.gap";
      if (data === undefined || (event?.startsWith("tidings.") && !gap)) {
        // Of the hub's own, one that is not known is of a later version; no published one has such a type.
        const end = data !== undefined && event === "tidings.end";
        if (id || end) steps.push({ cursor: id, end, reason: end ? parse(data).reason : undefined });
      } else {
        const told = parse(data);
        steps.push({ ...(gap ? { cursor: told.resumed, gap: told } : { cursor: told.id, event: told }), size: data.length });
      }
      unread = 0;
    },
  );
  for await (const piece of read(response, span)) {
    span.patience = silence;
    span.kind = "silent";
    unread += piece.length;
    try {
      parser.feed(piece);
      if (steps[0]) postponed = false;
      // This bounds what the parser keeps, and tells of a line without an end that it passes over.
      if (unread > maxEventSize) throw Error("too large");
    } finally {
      yield steps.splice(0);
    }
  }
  // So a hub says that it cannot serve a stream now: an error would end an `EventSource` for good.
  if (postponed) throw new TidingsError("unavailable", why ?? "the hub asks to come back later");
  throw new TidingsError("ended", "by the hub");
}
