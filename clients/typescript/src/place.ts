import { check, type RequestOptions } from "./request.ts";
import type { ConnectOptions } from "./settings.ts";

/** Where a hub is asked. */
export interface Place {
  url: URL;
  /** A topic that the path of a URL cannot name safely. */
  topic?: string;
}

/** The URL of a topic, which in a page may be relative to it.
 *
 * URLs and proxies take the segments `.` and `..` for steps, and some proxies leave out empty ones: then another topic would be
 * read, or published to. Such a topic is named apart, and goes to `/events`. */
export function locate(given: string | URL, options: RequestOptions): Place {
  const base = globalThis.document?.baseURI ?? globalThis.location?.href;
  const url = new URL(given, base);
  check(url, options);
  const [, before, path] = /^((?:[^?#]*?\/)?)topics\/([^?#]+)/.exec(`${given}`.trim()) ?? [];
  let topic: string;
  try {
    topic = decodeURIComponent(path!);
    const kept = decodeURIComponent(url.pathname).endsWith("/topics/" + topic);
    if (!path || (kept && !topic.split("/").some((segment) => ["", ".", ".."].includes(segment)))) return { url };
  } catch {
    // The hub says what is wrong with it.
    return { url };
  }
  const events = new URL(before + "events", base);
  events.search = url.search;
  return { url: events, topic };
}

/** Where to read. */
export function reading(given: string | URL, options: ConnectOptions): URL {
  const { url, topic } = locate(given, options);
  if (topic) url.searchParams.append("topic", topic);
  const { conflate, every } = options;
  if (conflate) url.searchParams.set("conflate", conflate);
  if (every) url.searchParams.set("every", every + "ms");
  return url;
}
