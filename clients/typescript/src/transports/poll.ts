import { POLL_GRACE } from "../defaults.ts";
import { demand, isEvent, json, malformed } from "../request.ts";
import type { Attempt } from "./attempt.ts";

/** Polls once, asks the hub to hold the answer for up to `wait`, and says whether it found anything, or may at once. */
export async function poll({ settings, span, ...attempt }: Attempt, wait: number): Promise<boolean> {
  span.expect(wait + POLL_GRACE, "late");
  const response = await attempt.ask("application/json", { limit: Math.min(settings.buffer, 10_000), wait: wait + "ms" });
  let end = response.status === 204;
  if (end) {
    attempt.tell({ cursor: "", end });
    return true;
  }
  demand(response, "application/json");
  const page = await json(response, span, settings.maxEventSize * 2);
  if (!page?.events?.every?.(isEvent) || typeof page.next !== "string") throw malformed("it is no page");
  const { events, next, gap, closed, more } = page;
  attempt.succeeded();
  attempt.opened();
  if (gap) attempt.tell({ cursor: gap.resumed, gap });
  for (const event of events) attempt.tell({ cursor: event.id, event, size: JSON.stringify(event.data).length });
  attempt.tell({ cursor: next, end: !!closed, more });
  await attempt.room();
  return more || gap || events[0];
}
