import { createParser } from "eventsource-parser";
import { SETTLED } from "../defaults.ts";
import { TidingsError } from "../error.ts";
import { demand, isEvent, malformed, parse, pieces } from "../request.ts";
import type { Attempt } from "./attempt.ts";

/** Reads a stream until it ends, and so always throws, but where the topic has ended. */
export async function stream(attempt: Attempt): Promise<void> {
  const { settings, signal } = attempt;
  const url = attempt.url();
  url.searchParams.set("envelope", "true");
  url.searchParams.set("heartbeat", `${settings.heartbeat / 1000}`);
  // Where nothing else is tried, giving up on a stream early wins nothing.
  attempt.expect(attempt.mayFall ? settings.firstByte : settings.silence, "stalled");
  const response = await attempt.send(url, "text/event-stream");
  if (response.status === 204) return attempt.tell({ cursor: undefined, end: true });
  demand(response, "text/event-stream");

  let failure: TidingsError | undefined;
  let ended = false;
  let pending: string | undefined;
  let unread = 0;
  // A block with an id and nothing else moves the cursor.
  const moved = () => {
    if (pending && !failure) attempt.tell({ cursor: pending });
    pending = undefined;
  };
  const tooLarge = () => malformed(`an event is larger than ${settings.maxEventSize} characters`);
  const tell = (isGap: boolean, data: string) => {
    const told = parse(data);
    if (isGap && typeof told?.resumed === "string") {
      attempt.tell({ cursor: told.resumed, gap: told });
    } else if (!isGap && isEvent(told)) {
      attempt.succeeded();
      attempt.tell({ cursor: told.id, event: told, size: data.length });
    } else throw malformed("it is no event of a hub");
  };
  const parser = createParser({
    maxBufferSize: settings.maxEventSize,
    onId(id) {
      moved();
      unread = 0;
      pending = id;
    },
    onEvent({ id, event = "", data }) {
      unread = 0;
      // Nothing after what cannot be read counts: the cursor must not move past it.
      if (failure || ended) return;
      if (event === "tidings.end") {
        ended = true;
        attempt.tell({ cursor: id, end: true });
      } else if (event === "tidings.gap" || !event.startsWith("tidings.")) {
        pending = undefined;
        try {
          tell(event === "tidings.gap", data);
        } catch (error) {
          failure = error as TidingsError;
        }
      }
      // Else it is an event of the hub's own that a later version may have; no published one has such a type.
    },
    onComment() {
      unread = 0;
    },
    onRetry: (base) => attempt.retry(base),
    onError(error) {
      if (error.type === "max-buffer-size-exceeded") failure ??= tooLarge();
    },
  });
  let opened = 0;
  for await (const piece of pieces(response, signal)) {
    if (!opened) {
      opened = Date.now();
      attempt.opened();
    } else if (Date.now() - opened >= SETTLED) attempt.succeeded();
    unread += piece.length;
    parser.feed(piece);
    moved();
    // The parser passes over a line that is none without keeping it; one without an end would go unseen.
    if (unread > settings.maxEventSize) failure ??= tooLarge();
    if (ended) return;
    if (failure) throw failure;
    attempt.expect(Infinity, "silent");
    await attempt.room();
    attempt.expect(settings.silence, "silent");
  }
  throw new TidingsError("ended", "the hub ended the stream");
}
