import { createParser } from "eventsource-parser";
import { SETTLED } from "../defaults.ts";
import { TidingsError } from "../error.ts";
import { demand, isEvent, malformed, parse, pieces, tooLarge } from "../request.ts";
import type { Attempt } from "./attempt.ts";

/** Reads a stream until it ends, and so always throws, but where the topic has ended. */
export async function stream({ settings, span, ...attempt }: Attempt): Promise<void> {
  const { maxEventSize, heartbeat, silence } = settings;
  // Where nothing else is tried, giving up on a stream early wins nothing.
  const first = settings.transports[1] ? settings.firstByte : silence;
  let opened = 0;
  let failure: unknown;
  let ended = false;
  let pending: string | undefined;
  let unread = 0;
  // A block with an id and nothing else moves the cursor.
  const moved = () => {
    if (pending && !failure) attempt.tell({ cursor: pending });
    pending = "";
  };
  const parser = createParser({
    maxBufferSize: maxEventSize,
    onId(id) {
      moved();
      pending = id;
      unread = 0;
    },
    onEvent({ id, event = "", data }) {
      unread = 0;
      // Nothing after what cannot be read counts: the cursor must not move past it.
      if (failure || ended) return;
      try {
        if (event === "tidings.end") {
          ended = true;
          attempt.tell({ cursor: id, end: true });
        } else if (event === "tidings.gap") {
          const gap = parse(data);
          attempt.tell({ cursor: gap.resumed, gap });
        } else if (!event.startsWith("tidings.")) {
          const event = parse(data);
          if (!isEvent(event)) throw malformed("it is no event");
          attempt.succeeded();
          attempt.tell({ cursor: event.id, event, size: data.length });
          // Else it is of the hub's own, as a later version may have them; no published event has such a type.
        } else return;
        pending = "";
      } catch (error) {
        failure = error;
      }
    },
    onRetry: attempt.retry,
    onError({ type }) {
      if (type[0] === "m") failure ??= tooLarge(maxEventSize);
    },
  });

  span.expect(first, "stalled");
  const response = await attempt.ask("text/event-stream", { envelope: "true", heartbeat: heartbeat / 1000 });
  if (response.status === 204) return attempt.tell({ cursor: "", end: true });
  demand(response, "text/event-stream");
  for await (const piece of pieces(response, span, () => (opened ? [silence, "silent"] : [first, "stalled"]))) {
    if (!opened) attempt.opened();
    opened ||= Date.now();
    if (Date.now() - opened > SETTLED) attempt.succeeded();
    unread += piece.length;
    parser.feed(piece);
    moved();
    // The parser passes over a line that is none without keeping it; one without an end would go unseen.
    if (unread > maxEventSize) failure ??= tooLarge(maxEventSize);
    if (ended) return;
    if (failure) throw failure;
    await attempt.room();
  }
  throw new TidingsError("ended", "the hub ended the stream");
}
