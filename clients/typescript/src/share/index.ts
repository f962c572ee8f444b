import { reading } from "../place.ts";
import { session } from "../session.ts";
import { type ConnectOptions, settle } from "../settings.ts";
import { subscribe, type Subscription } from "../subscription.ts";
import { tab } from "./tabs.ts";

/** How to subscribe, and whether to share. */
export interface ShareOptions extends ConnectOptions {
  /** One connection for all tabs that read this URL as the same user. Where the browser lacks what it takes, each tab
   * has its own. */
  share?: boolean;
}

/** As `connect` of `tidings`, with `share` besides. */
export function connect<Events extends object = Record<string, any>>(
  url: string | URL,
  options: ShareOptions = {},
): Subscription<Events> {
  const settings = settle(options);
  const at = reading(url, options);
  const can = globalThis.navigator?.locks && globalThis.BroadcastChannel && globalThis.crypto?.subtle;
  return subscribe(settings, (sink) => (options.share && can ? tab : session)(at, settings, sink));
}
