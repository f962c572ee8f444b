import { ANSWER_SIZE, POLL_GRACE } from "./defaults.ts";
import { type ErrorKind, type Problem, TidingsError, wordsOf } from "./error.ts";
import type { Span } from "./span.ts";

/** What every request to a hub has in common. */
export interface RequestOptions {
  /** The bearer token, or what supplies one: it is asked again for each attempt. */
  token?: string | (() => string | undefined | Promise<string | undefined>) | undefined;
  /** Further headers. In a browser, they make requests to another origin ask the hub first. */
  headers?: HeadersInit;
  /** Whether cookies are sent to another origin. */
  credentials?: RequestCredentials;
  /** What sends requests, instead of the global `fetch`. */
  fetch?: typeof fetch;
}

/** The URL of a topic, which in a page may be relative to it. */
export const locate = (url: string | URL): URL => new URL(url, globalThis.location?.href);

/** Sends a request, and lets its answer through where all is well: 200, 201 and 204. */
export async function send(
  url: URL,
  { token, ...options }: RequestOptions,
  span: Span,
  fields: Record<string, string>,
  body?: BodyInit,
): Promise<Response> {
  const headers = new Headers(options.headers);
  let doing: ErrorKind = "token";
  try {
    for (const name in fields) headers.set(name, fields[name]!);
    // The supplier of tokens is another one's, and knows nothing of the signal.
    if (typeof token === "function") token = (await Promise.race([token(), span.over()])) as string;
    span.signal.throwIfAborted();
    if (token) headers.set("Authorization", "Bearer " + token);
    doing = "unreachable";
    const response = await (options.fetch ?? fetch)(url, {
      method: body === undefined ? "GET" : "POST",
      headers,
      signal: span.signal,
      // A redirect could turn a publish into a read, or carry the token elsewhere.
      redirect: "manual",
      cache: "no-store",
      credentials: options.credentials ?? "same-origin",
      body: body ?? null,
    });
    const { status } = response;
    if (status === 200 || status === 201 || status === 204) return response;
    if (status < 400) throw unexpected(response);
    const problem: Problem =
      typeOf(response) === "application/problem+json" ? await json(response, span, ANSWER_SIZE).catch(() => 0) : 0;
    const passing = status >= 500 || status === 408 || status === 425 || status === 429;
    const after = response.headers.get("retry-after")!;
    throw new TidingsError(
      passing ? "unavailable" : "refused",
      `the hub answered ${status}: ${problem?.detail || problem?.title || response.statusText}`,
      // Seconds, or a date.
      { status, problem, retryAfter: Math.max(0, +after * 1000 || Date.parse(after) - Date.now()) || undefined },
    );
  } catch (error) {
    throw blame(span, doing, error);
  }
}

/** Lets an answer pass only where it is of this type. */
export function demand(response: Response, type: string): void {
  if (typeOf(response) !== type) throw unexpected(response);
}

/** The pieces of a body, as text. Each may take so long, but for the time in which they are dealt with. */
export async function* pieces(response: Response, span: Span, patience: () => [number, ErrorKind]): AsyncGenerator<string> {
  const reader = response.body!.getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      span.expect(...patience());
      const { value, done } = await reader.read();
      span.expect(Infinity);
      if (done) return;
      yield decoder.decode(value, { stream: true });
    }
  } catch (error) {
    throw blame(span, "broken", error);
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** The whole body as JSON, up to `limit` characters. */
export async function json(response: Response, span: Span, limit: number): Promise<any> {
  let text = "";
  for await (const piece of pieces(response, span, () => [POLL_GRACE, "late"])) {
    text += piece;
    if (text.length > limit) throw tooLarge(limit);
  }
  return parse(text);
}

export function parse(text: string): any {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw malformed(wordsOf(error));
  }
}

/** Whether a value has what the client itself needs of an event. */
export const isEvent = (value: any): boolean => typeof value?.id === "string" && "data" in value;

export const malformed = (words: string): TidingsError =>
  new TidingsError("malformed", "the answer cannot be read: " + words);

export const tooLarge = (limit: number): TidingsError => malformed(`it is larger than ${limit} characters`);

const typeOf = (response: Response): string =>
  (response.headers.get("content-type") ?? "").split(";")[0]!.trim().toLowerCase();

// Browsers show nothing of a redirect that is not followed, not even its status.
const unexpected = (response: Response): TidingsError =>
  new TidingsError("unexpected", `this is not the answer of a hub: ${response.status || "a redirect"} ${typeOf(response)}`, {
    status: response.status,
  });

const did: { [kind in ErrorKind]?: string } = {
  token: "no token could be had",
  unreachable: "the hub cannot be reached",
  broken: "the connection broke",
};

/** Another one's error, in the client's words. What was aborted failed for the reason that it was aborted for. */
const blame = ({ signal }: Span, kind: ErrorKind, cause: any): unknown =>
  signal.aborted ? signal.reason : cause instanceof TidingsError ? cause : new TidingsError(kind, `${did[kind]}: ${wordsOf(cause)}`, { cause });
