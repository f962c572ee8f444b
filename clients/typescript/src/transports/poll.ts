import { POLL_GRACE } from "../defaults.ts";
import type { TidingsEvent } from "../event.ts";
import { demand, isEvent, json, malformed } from "../request.ts";
import type { Attempt } from "./attempt.ts";

/** Polls once, asks the hub to hold the answer for up to `wait`, and says how long to rest before the next poll. */
export async function poll(attempt: Attempt, wait: number, rest: (found: boolean) => number): Promise<number> {
  const { settings, signal } = attempt;
  const url = attempt.url();
  url.searchParams.set("limit", `${Math.min(settings.buffer, 10_000)}`);
  if (wait) url.searchParams.set("wait", `${wait}ms`);
  attempt.expect(wait + POLL_GRACE, "late");
  const response = await attempt.send(url, "application/json");
  if (response.status === 204) {
    attempt.tell({ cursor: undefined, end: true });
    return 0;
  }
  demand(response, "application/json");
  let size = 0;
  const page = await json(response, signal, settings.maxEventSize * 2, () => attempt.expect(POLL_GRACE, "late"));
  const { events, next, gap, closed, more } = page ?? {};
  if (!Array.isArray(events) || !events.every(isEvent) || typeof next !== "string") throw malformed("it is no page");
  attempt.succeeded();
  attempt.opened();
  if (gap) attempt.tell({ cursor: gap.resumed, gap });
  for (const event of events as TidingsEvent[]) attempt.tell({ cursor: event.id, event, size });
  const moved = url.searchParams.get("lastEventId") !== next;
  attempt.tell(closed ? { cursor: next, end: true } : { cursor: next, more });
  attempt.expect(Infinity, "late");
  await attempt.room();
  const found = events.length > 0 || !!gap;
  return more && (found || moved) ? 0 : rest(found);
}
