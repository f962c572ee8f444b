import { reading } from "./place.ts";
import { session } from "./session.ts";
import { type ConnectOptions, settle } from "./settings.ts";
import { subscribe, type Subscription } from "./subscription.ts";

/** Subscribes to what a URL of a hub reads: `/topics/{selector}`, or `/events?topic=…&topic=…`.
 *
 * It begins at once. Events that come before there is a listener or a loop wait for it. */
export function connect<Events extends object = Record<string, any>>(
  url: string | URL,
  options: ConnectOptions = {},
): Subscription<Events> {
  const settings = settle(options);
  const at = reading(url, options);
  return subscribe(settings, (sink) => session(at, settings, sink));
}
