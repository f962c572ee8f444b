import { ANSWER_SIZE } from "./defaults.ts";
import { type Problem, TidingsError, wordsOf } from "./error.ts";

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

/** Whether a token that was refused may be followed by another one. */
export const mayChange = (options: RequestOptions): boolean => typeof options.token === "function";

/** The URL of a topic, which in a page may be relative to it. */
export const locate = (url: string | URL): URL => new URL(url, globalThis.location?.href);

/** Sends a request, and lets its answer through where all is well: 200, 201 and 204. */
export async function send(
  url: URL,
  options: RequestOptions,
  signal: AbortSignal,
  fields: Record<string, string>,
  body?: BodyInit,
): Promise<Response> {
  const headers = new Headers(options.headers);
  for (const name in fields) headers.set(name, fields[name]!);
  try {
    const token = mayChange(options) ? await unlessAborted(signal, (options.token as () => any)()) : options.token;
    if (token) headers.set("Authorization", `Bearer ${token}`);
  } catch (error) {
    throw abortedOr(signal, "token", "no token could be had", error);
  }
  let response: Response;
  try {
    response = await (options.fetch ?? fetch)(url, {
      method: body === undefined ? "GET" : "POST",
      headers,
      signal,
      // A redirect could turn a publish into a read, or carry the token elsewhere.
      redirect: "manual",
      cache: "no-store",
      ...(options.credentials && { credentials: options.credentials }),
      ...(body !== undefined && { body }),
    });
  } catch (error) {
    throw abortedOr(signal, "unreachable", "the hub cannot be reached", error);
  }
  const { status } = response;
  if (status === 200 || status === 201 || status === 204) return response;
  if (status < 400) throw unexpected(response);
  const problem = await problemOf(response);
  const passing = status >= 500 || status === 408 || status === 425 || status === 429;
  const words = problem.detail || problem.title || response.statusText;
  throw new TidingsError(passing ? "unavailable" : "refused", `the hub answered ${status}${words && ": " + words}`, {
    status,
    problem,
    retryAfter: passing ? retryAfter(response.headers) : undefined,
  });
}

/** Lets an answer pass only where it is of this type. */
export function demand(response: Response, type: string): void {
  if (typeOf(response) !== type) throw unexpected(response);
}

/** The pieces of a body, as text. */
export async function* pieces(response: Response, signal: AbortSignal): AsyncGenerator<string> {
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const piece = await reader?.read();
      if (!piece || piece.done) return;
      yield decoder.decode(piece.value, { stream: true });
    }
  } catch (error) {
    throw abortedOr(signal, "broken", "the connection broke", error);
  } finally {
    reader?.cancel().catch(() => {});
  }
}

/** The whole body as JSON, up to `limit` characters. `heard` is told whenever some of it comes. */
export async function json(response: Response, signal: AbortSignal, limit: number, heard?: () => void): Promise<any> {
  let text = "";
  for await (const piece of pieces(response, signal)) {
    heard?.();
    text += piece;
    if (text.length > limit) throw malformed(`it is larger than ${limit} characters`);
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

export const malformed = (words: string): TidingsError =>
  new TidingsError("malformed", `the answer cannot be read: ${words}`);

/** Whether a value has what the client itself needs of an event. */
export const isEvent = (value: any): boolean => typeof value?.id === "string" && "data" in value;

const typeOf = (response: Response): string =>
  (response.headers.get("content-type") ?? "").split(";")[0]!.trim().toLowerCase();

const unexpected = (response: Response): TidingsError =>
  new TidingsError(
    "unexpected",
    // Browsers show nothing of a redirect that is not followed, not even its status.
    `the answer is not that of a hub: ${response.status ? `status ${response.status}` : "a redirect"}, ${typeOf(response) || "of no type"}`,
    { status: response.status },
  );

/** An aborted request fails for the reason that it was aborted for. */
const abortedOr = (signal: AbortSignal, kind: "token" | "unreachable" | "broken", words: string, cause: unknown) =>
  signal.aborted ? signal.reason : new TidingsError(kind, `${words}: ${wordsOf(cause)}`, { cause });

/** The supplier of tokens is another one's, and knows nothing of the signal. */
const unlessAborted = <T>(signal: AbortSignal, promise: T | Promise<T>): Promise<T> =>
  Promise.race([promise, new Promise<never>((_, reject) => signal.addEventListener("abort", reject))]);

async function problemOf(response: Response): Promise<Problem> {
  try {
    demand(response, "application/problem+json");
    return (await json(response, new AbortController().signal, ANSWER_SIZE)) ?? {};
  } catch {
    return {};
  }
}

/** Reads `Retry-After`: seconds, or a date. */
function retryAfter(headers: Headers): number | undefined {
  const text = headers.get("retry-after")?.trim();
  if (!text) return;
  const after = /^\d+$/.test(text) ? +text * 1000 : Math.max(Date.parse(text) - Date.now(), 0);
  return Number.isNaN(after) ? undefined : after;
}
