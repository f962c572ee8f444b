import { POLL_GRACE } from "../defaults.ts";
import { json } from "../request.ts";
import type { Attempt } from "./attempt.ts";

/** Polls once, asks the hub to hold the answer for up to `wait`, and says whether it found anything, or may at once. */
export async function poll({ settings, span, ask, heard, tell, room }: Attempt, wait: number): Promise<unknown> {
  span.patience = wait + POLL_GRACE;
  const response = await ask("application/json", { wait: wait + "ms" });
  if (!response) return;
  span.patience = POLL_GRACE;
  const { events, next, gap, closed, more } = await json(response, span, settings.maxEventSize * 2);
  if (!next || !events.every((event: any) => event.id)) throw Error("no cursor");
  heard(true);
  if (gap) tell({ cursor: gap.resumed, gap });
  for (const event of events) tell({ cursor: event.id, event, size: JSON.stringify(event).length });
  tell({ cursor: next, end: closed, more });
  await room();
  return more || gap || events[0];
}
