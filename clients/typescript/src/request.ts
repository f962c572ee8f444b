import { ANSWER_SIZE } from "./defaults.ts";
import { type ErrorKind, type Problem, TidingsError, wordsOf } from "./error.ts";
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
  { token, ...options }: RequestOptions,
  span: Span,
  type: string,
  init: RequestInit,
): Promise<Response> {
  let doing: ErrorKind = "token";
  span.start();
  try {
    // The supplier of tokens is another one's, and knows nothing of the signal.
    if (typeof token === "function") token = (await Promise.race([token(), span.over()])) as string | undefined;
    const request = new Request(url, {
      ...init,
      headers: { ...options.headers, ...(init.headers as object), ...(token && { authorization: "Bearer " + token }) },
      signal: span.signal,
      // A redirect could turn a publish into a read, or carry the token elsewhere.
      redirect: "manual",
      cache: "no-store",
      credentials: options.credentials!,
    });
    doing = "unreachable";
    const response = await (options.fetch ?? fetch)(request);
    const { status, ok, headers: told } = response;
    const form = `${told.get("content-type")}`;
    if (status === 204 || (ok && form.startsWith(type))) return response;
    // Browsers show nothing of a redirect that is not followed, not even its status.
    if (status < 400) throw new TidingsError("unexpected", `${status || "a redirect"}, ${form}`, { status });
    const problem: Problem = form.includes("problem") ? await json(response, span).catch(() => 0) : 0;
    const after = told.get("retry-after")!;
    throw new TidingsError(
      status >= 500 || [408, 425, 429].includes(status) ? "unavailable" : "refused",
      `${status}, ${problem?.detail ?? form}`,
      // Seconds, or a date.
      { status, problem, retryAfter: Math.max(0, +after * 1000 || Date.parse(after) - Date.now()) || undefined },
    );
  } catch (error) {
    throw blame(span, doing, error);
  }
}

/** Reads a body to its end, as text, piece by piece. The time that a piece is dealt with is not the span's. */
export async function read(response: Response, span: Span, piece: (text: string) => unknown): Promise<void> {
  const reader = response.body!.getReader();
  const decoder = new TextDecoder();
  for (;;) {
    span.start();
    const { value, done } = await reader.read().catch((error) => {
      throw blame(span, "broken", error);
    });
    span.stop();
    if (done) return;
    await piece(decoder.decode(value, { stream: true }));
  }
}

/** The whole body as JSON, up to `limit` characters. */
export async function json(response: Response, span: Span, limit: number = ANSWER_SIZE): Promise<any> {
  try {
    let text = "";
    await read(response, span, (piece) => {
      if ((text += piece).length > limit) throw Error(TOO_LARGE);
    });
    return JSON.parse(text);
  } catch (error) {
    throw blame(span, "malformed", error);
  }
}

export const TOO_LARGE = "too large";

/** Another one's error, in the client's words. What was aborted failed for the reason that it was aborted for. */
export const blame = ({ signal }: Span, kind: ErrorKind, cause: any): any =>
  signal.aborted ? signal.reason : cause instanceof TidingsError ? cause : new TidingsError(kind, wordsOf(cause), { cause });
