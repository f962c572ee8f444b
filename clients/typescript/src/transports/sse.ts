import { createParser } from "eventsource-parser";
import { SILENT_HEARTBEATS } from "../defaults.ts";
import { TidingsError } from "../error.ts";
import { read, TOO_LARGE } from "../request.ts";
import type { Attempt } from "./attempt.ts";

/** Reads a stream until it ends, and so always throws, but where the topic has ended. */
export async function stream({ settings, span, ask, heard, tell, retry, room }: Attempt): Promise<void> {
  const { heartbeat, maxEventSize } = settings;
  const silence = heartbeat * SILENT_HEARTBEATS;
  // Where nothing else is tried, giving up on a stream early wins nothing.
  span.patience = settings.transports[1] ? settings.firstByte : silence;
  span.kind = "stalled";
  const response = await ask("text/event-stream", { envelope: "true", heartbeat: `${heartbeat / 1000}` });
  if (!response) return;
  /** The id of a block that has nothing else: it moves the cursor all the same. */
  let moved: string | undefined;
  let unread = 0;
  // What throws here ends the attempt: nothing after what cannot be read counts, and the cursor does not move past it.
  const parser = createParser({
    onRetry: retry,
    onId(id) {
      moved = id;
      unread = 0;
    },
    onEvent({ id, event, data }) {
      unread = 0;
      if (event === "tidings.end") tell({ cursor: id, end: true });
      // One of the hub's own that is not known is of a later version; no published one has such a type.
      else if (event === "tidings.gap" || !event?.startsWith("tidings.")) {
        const told = JSON.parse(data);
        const cursor = event === "tidings.gap" ? told.resumed : told.id;
        if (!cursor) throw Error("no cursor");
        tell(event === "tidings.gap" ? { cursor, gap: told } : { cursor, event: told, size: data.length });
        moved = "";
      }
    },
  });
  await read(response, span, async (piece) => {
    // That it began shows little: a proxy may cut it off right then. That it goes on, or brings an event, does.
    heard(span.kind === "silent");
    span.patience = silence;
    span.kind = "silent";
    unread += piece.length;
    parser.feed(piece);
    if (moved) tell({ cursor: moved });
    moved = "";
    // This bounds what the parser keeps, and tells of a line without an end that it passes over.
    if (unread > maxEventSize) throw Error(TOO_LARGE);
    await room();
  });
  throw new TidingsError("ended", "by the hub");
}
