import { POLL_GRACE } from "../defaults.ts";
import type { Step } from "../event.ts";
import { json } from "../request.ts";
import type { Span } from "../span.ts";

/** Reads the page that a poll is answered with, of up to `limit` characters. */
export async function poll(response: Response, span: Span, limit: number): Promise<Step[]> {
  span.patience = POLL_GRACE;
  const { events, next, gap, closed, more } = await json(response, span, limit);
  return [
    ...(gap ? [{ cursor: gap.resumed, gap, size: 1 }] : []),
    ...events.map((event: any) => ({ cursor: event.id, event, size: JSON.stringify(event).length })),
    { cursor: next, end: closed, more },
  ];
}
