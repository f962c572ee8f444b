import { PAGE_TIMEOUT, POLL_GRACE } from "../defaults.ts";
import type { Step } from "../event.ts";
import { whole } from "../request.ts";
import type { Settings } from "../settings.ts";
import type { Span } from "../span.ts";

/** Reads the page that a poll is answered with. A page ends at about a mebibyte, or after one larger event. */
export async function poll(response: Response, span: Span, { maxEventSize, parse }: Settings): Promise<Step[]> {
  span.patience = POLL_GRACE;
  span.due = Date.now() + PAGE_TIMEOUT;
  const text = await whole(response, span, maxEventSize * 2);
  const { events, next, gap, closed, reason, more, advice } = parse(text);
  // Near enough. To write each event again would take long, and fail for one that is nested deep.
  const size = text.length / (events.length || 1);
  return [
    ...(gap ? [{ cursor: gap.resumed, gap, size: 1 }] : []),
    ...events.map((event: any) => ({ cursor: event.id, event, size })),
    { cursor: next, end: closed, reason, more, advice: advice?.transport === "stream" },
  ];
}
