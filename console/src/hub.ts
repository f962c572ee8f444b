import { askForToken, current } from "./token.ts";

/** The hub's root is where this page is, also behind a proxy that puts both under a prefix. */
const root = new URL(".", document.baseURI);

export const at = (path: string): URL => new URL(path, root);

/** What a topic is published to, or nothing where no URL can name it safely: browsers take a segment of dots for a step up,
 * however it is written, and some proxies leave out empty ones. */
export function topicUrl(topic: string): URL | undefined {
  const segments = topic.split("/");
  if (segments.some((segment) => ["", ".", ".."].includes(segment))) return undefined;
  return at(`topics/${segments.map(encodeURIComponent).join("/").replaceAll("%2A", "*")}`);
}

/** What a selector is read from. */
export const readUrl = (selector: string): URL => topicUrl(selector) ?? at(`events?topic=${encodeURIComponent(selector)}`);

/** What a hub says of an error. */
export interface Problem {
  title: string;
  detail: string;
}

/** An answer that is none of those asked for. */
export class Refused extends Error {
  readonly status: number;
  readonly problem: Problem;
  constructor(status: number, problem: Problem) {
    super(`${status} ${problem.title}: ${problem.detail}`);
    this.status = status;
    this.problem = problem;
  }
}

let declined = false;

/** The reader may be asked for a token again. */
export const forgetDeclined = (): void => void (declined = false);

/** Sends a request with the token of this tab. Where the hub asks for one, so is the reader, once. */
export async function ask(url: URL, init: RequestInit = {}): Promise<Response> {
  for (;;) {
    const headers = new Headers(init.headers);
    const token = current();
    if (token) headers.set("Authorization", `Bearer ${token}`);
    const response = await fetch(url, { cache: "no-store", redirect: "manual", ...init, headers });
    if (response.status !== 401 || declined) return response;
    // It may be another one's answer to the same question by now.
    if (current() !== token) continue;
    if (!(await askForToken(token ? "The hub does not accept this token (any more)." : "This hub asks for a token."))) {
      declined = true;
      return response;
    }
  }
}

/** The answer of a request that asks for JSON or text, or what the hub says of it. */
export async function demand(response: Response): Promise<Response> {
  if (response.ok) return response;
  throw new Refused(response.status, await problemOf(response));
}

export async function problemOf(response: Response): Promise<Problem> {
  const problem = await response.json().catch(() => ({}));
  return { title: problem.title ?? response.statusText, detail: problem.detail ?? "the answer says no more" };
}

/** What went wrong, in words. */
export const wordsOf = (error: unknown): string =>
  error instanceof Refused ? error.problem.detail : error instanceof TypeError && /fetch/i.test(error.message) ? "the hub cannot be reached" : String((error as Error)?.message ?? error);
