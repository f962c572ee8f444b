import { ANSWER_SIZE } from "./defaults.ts";
import { type Problem, TidingsError } from "./error.ts";
import type { Span } from "./span.ts";

/** What every request to a hub has in common. */
export interface RequestOptions {
  /** The bearer token, or what supplies one: it is asked again for each attempt. */
  token?: string | (() => string | undefined | Promise<string | undefined>) | undefined;
  /** Further headers. In a browser, they make requests to another origin ask the hub first. */
  headers?: Record<string, string>;
  /** Whether cookies are sent to another origin. */
  credentials?: RequestCredentials;
  /** What sends requests, instead of the global `fetch`. */
  fetch?: typeof fetch;
}

/** The URL of a topic, which in a page may be relative to it. */
export const locate = (url: string | URL): URL => new URL(url, globalThis.location?.href);

/** Sends a request, and lets its answer through where it is of this type, or 204. */
export async function send(
  url: URL,
  { token, ...options }: RequestOptions & RequestInit,
  span: Span,
  type: string,
): Promise<Response> {
  span.start("token");
  // The supplier of tokens is another one's, and knows nothing of the signal.
  if (typeof token === "function") token = (await Promise.race([token(), span.over()])) as string | undefined;
  const headers = new Headers({ ...(options.headers as object), accept: type, ...(token && { authorization: "Bearer " + token }) });
  span.start("unreachable");
  const response = await (options.fetch ?? fetch)(url, {
    ...options,
    headers,
    signal: span.signal,
    // A redirect could turn a publish into a read, or carry the token elsewhere.
    redirect: "manual",
    cache: "no-store",
  });
  const { status, headers: told } = response;
  const form = told.get("content-type") + "";
  if (status === 204 || (status < 300 && form.startsWith(type))) return response;
  const problem: Problem = form.includes("problem") ? await json(response, span).catch(() => 0) : 0;
  const after = told.get("retry-after")!;
  throw new TidingsError(
    status < 400 ? "unexpected" : status >= 500 || [408, 425, 429].includes(status) ? "unavailable" : "refused",
    // Browsers show nothing of a redirect that is not followed, not even its status.
    `${status || "a redirect"}, ${problem?.detail ?? form}`,
    // Seconds, or a date.
    { status, problem, retryAfter: Math.max(0, +after * 1000 || Date.parse(after) - Date.now()) || undefined },
  );
}

/** Reads a body to its end, as text, piece by piece. The time that a piece is dealt with is not the span's. */
export async function* read(response: Response, span: Span): AsyncGenerator<string, void> {
  const reader = response.body!.getReader();
  const decoder = new TextDecoder();
  for (;;) {
    span.start("broken");
    const { value, done } = await reader.read();
    span.stop();
    if (done) return;
    yield decoder.decode(value, { stream: true });
  }
}

/** The whole body as JSON, up to `limit` characters. */
export async function json(response: Response, span: Span, limit: number = ANSWER_SIZE): Promise<any> {
  let text = "";
  for await (const piece of read(response, span)) {
    if ((text += piece).length > limit) throw Error("too large");
  }
  return JSON.parse(text);
}
