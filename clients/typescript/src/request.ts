import { ANSWER_SIZE, POLL_GRACE, RETRY_CEILING } from "./defaults.ts";
import { type Problem, TidingsError } from "./error.ts";
import type { Span } from "./span.ts";

/** What every request to a hub has in common. */
export interface RequestOptions {
  /** The bearer token, or what supplies one: it is asked again for each attempt. */
  token?: string | (() => string | undefined | Promise<string | undefined>) | undefined;
  /** Further headers. In a browser, they make requests to another origin ask the hub first. The client's own (`Accept`,
   * `Content-Type`, `Idempotency-Key`, and `Authorization` where there is a token) take the place of those that are given
   * here, and a `Last-Event-ID` is left out: the client has its own cursor. */
  headers?: HeadersInit;
  /** Whether cookies are sent to another origin. */
  credentials?: RequestCredentials;
  /** What sends requests, instead of the global `fetch`. */
  fetch?: typeof fetch;
}

const valid = (token: string): string => {
  if (/[^\x21-\x7e]/.test(token)) throw TypeError("a token holds only visible ASCII characters");
  return token;
};

/** Throws where no request with these could ever be sent, so that it is not tried for ever. */
export function check(url: URL, { token, headers, credentials, fetch: given = fetch }: RequestOptions): void {
  if (typeof given !== "function") throw TypeError("fetch is a function");
  if (!/^https?:/.test(url.protocol)) throw TypeError(`a hub has an http: or https: URL, not ${url.protocol}`);
  if (url.username || url.password) throw TypeError("a URL of a hub has no user name or password: give a token instead");
  if (url.hash) throw TypeError("a URL of a hub has no fragment: a # in a topic is written %23");
  if (typeof token === "string") valid(token);
  // It refuses names and values that no header can have.
  new Request(url, { ...(headers && { headers }), ...(credentials && { credentials }) });
}

/** The token that is shown now, where there is one. */
export async function supply(token: RequestOptions["token"], span: Span): Promise<string | undefined> {
  span.start("token");
  // The supplier of tokens is another one's, and knows nothing of the signal.
  if (typeof token === "function") token = (await Promise.race([token(), span.over()])) as string | undefined;
  return token && valid(token);
}

/** Sends a request, and lets its answer through where it is of this type, or 204. */
export async function send(
  url: URL,
  { token, ...options }: RequestOptions & RequestInit,
  span: Span,
  type: string,
): Promise<Response> {
  const shown = await supply(token, span);
  const headers = new Headers(options.headers);
  headers.set("accept", type);
  headers.delete("last-event-id");
  if (shown) headers.set("authorization", "Bearer " + shown);
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
  const form = told.get("content-type") ?? "no type";
  const is = (type: string): boolean => form.split(";")[0]!.trim().toLowerCase() === type;
  if (status === 204 || ((status === 200 || status === 201) && is(type))) return response;
  // It is an answer, if not the one that was wanted: no stream that something holds back.
  span.kind = "late";
  span.due = Date.now() + POLL_GRACE;
  const problem: Problem | undefined = is("application/problem+json") ? await json(response, span).catch(() => undefined) : undefined;
  throw refusal(status, problem, form, retryAfter(told.get("retry-after") ?? ""));
}

/** What an answer is that is not the one that was wanted. */
export function refusal(status: number, problem?: Problem, form?: string, retryAfter?: number): TidingsError {
  const passes = status >= 500 || [408, 425, 429].includes(status);
  // Anything else may be that of a proxy while the hub is away, or of a captive portal.
  const hubs = status >= 400 && problem?.type?.startsWith?.("urn:tidings:");
  const words = typeof problem?.detail === "string" ? problem.detail : form;
  return new TidingsError(
    passes ? "unavailable" : hubs ? "refused" : "unexpected",
    // Browsers show nothing of a redirect that is not followed, not even its status.
    `${status || "a redirect"}, ${words}`,
    { status, problem, retryAfter },
  );
}

/** What `Retry-After` says, in milliseconds, where it names a time that is still to come: seconds, or a date in one of the
 * three forms of HTTP, of which only two name their zone. */
export function retryAfter(field: string, now: number = Date.now()): number | undefined {
  const date = /^[a-z]+,? [\w -]+ \d\d:\d\d:\d\d (GMT|\d{4})$/i.test(field) ? field.replace(/( GMT)?$/, " GMT") : "";
  const time = /^\d+$/.test(field) ? +field * 1000 : Date.parse(date) - now;
  return time > 0 ? Math.min(time, RETRY_CEILING) : undefined;
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

/** The whole body, up to `limit` characters. */
export async function whole(response: Response, span: Span, limit: number = ANSWER_SIZE): Promise<string> {
  let text = "";
  for await (const piece of read(response, span)) {
    if ((text += piece).length > limit) throw Error("too large");
  }
  return text;
}

/** The whole body as JSON. */
export const json = async (response: Response, span: Span): Promise<any> => JSON.parse(await whole(response, span));
