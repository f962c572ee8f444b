import { createParser } from "eventsource-parser";

/** What the standard leaves to the client: how long it waits before it connects again, unless told with `retry:`. */
const RECONNECTION_TIME = 2_000;
/** The longest delay that comes of attempts that keep failing. */
const LONGEST_DELAY = 30_000;

type Handler<E extends Event> = ((this: EventSource, event: E) => unknown) | null;

export interface EventSourceOptions {
  withCredentials?: boolean;
  /** What sends requests, instead of the global `fetch`; not in the standard. */
  fetch?: typeof fetch;
}

/** `EventSource` as the HTML standard has it, for where there is none (Node.js, Deno, Bun, workers) or where it is
 * to be had with a `fetch` of one's own. */
export class EventSource extends EventTarget {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSED = 2;
  readonly CONNECTING = 0;
  readonly OPEN = 1;
  readonly CLOSED = 2;

  readonly url: string;
  readonly withCredentials: boolean;
  #readyState = 0;
  #fetch: typeof fetch;
  #abort = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #lastEventId = "";
  #reconnectionTime = RECONNECTION_TIME;
  #failures = 0;
  #handlers: Record<string, Handler<any>> = {};

  constructor(url: string | URL, options: EventSourceOptions = {}) {
    super();
    try {
      this.url = new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href).href;
    } catch {
      throw new DOMException(`cannot open an EventSource to \`${url}\`: it is no URL`, "SyntaxError");
    }
    this.withCredentials = !!options.withCredentials;
    this.#fetch = options.fetch ?? ((...request) => fetch(...request));
    void this.#connect();
  }

  get readyState(): number {
    return this.#readyState;
  }

  close(): void {
    this.#readyState = 2;
    clearTimeout(this.#timer);
    this.#abort.abort();
  }

  get onopen(): Handler<Event> {
    return this.#handlers["open"] ?? null;
  }
  set onopen(handler: Handler<Event>) {
    this.#handle("open", handler);
  }
  get onmessage(): Handler<MessageEvent<string>> {
    return this.#handlers["message"] ?? null;
  }
  set onmessage(handler: Handler<MessageEvent<string>>) {
    this.#handle("message", handler);
  }
  get onerror(): Handler<Event> {
    return this.#handlers["error"] ?? null;
  }
  set onerror(handler: Handler<Event>) {
    this.#handle("error", handler);
  }

  #handle(type: string, handler: Handler<any>): void {
    // The place of a handler among the listeners is where it was first set.
    if (!(type in this.#handlers)) {
      this.addEventListener(type, (event) => this.#handlers[type]?.call(this, event));
    }
    this.#handlers[type] = typeof handler === "function" ? handler : null;
  }

  async #connect(): Promise<void> {
    const headers = new Headers({ Accept: "text/event-stream" });
    // `Headers` takes characters of one byte each; the standard sends the id as UTF-8.
    const id = String.fromCharCode(...new TextEncoder().encode(this.#lastEventId));
    if (id) headers.set("Last-Event-ID", id);
    let response: Response;
    try {
      response = await this.#fetch(this.url, {
        headers,
        cache: "no-store",
        credentials: this.withCredentials ? "include" : "same-origin",
        signal: this.#abort.signal,
      });
    } catch {
      return this.#reestablish();
    }
    if (this.#readyState === 2) return;
    const type = response.headers.get("content-type") ?? "";
    if (response.status !== 200 || !/^\s*text\/event-stream\s*(;|$)/i.test(type)) {
      response.body?.cancel().catch(() => {});
      return this.#fail();
    }
    this.#readyState = 1;
    this.#failures = 0;
    this.dispatchEvent(new Event("open"));
    await this.#read(response);
    this.#reestablish();
  }

  async #read(response: Response): Promise<void> {
    const origin = new URL(response.url || this.url).origin;
    const parser = createParser({
      onId: (id) => (this.#lastEventId = id),
      onRetry: (time) => (this.#reconnectionTime = time),
      onEvent: ({ event = "message", data }) => {
        if (this.#readyState === 2) return;
        this.dispatchEvent(new MessageEvent(event, { data, origin, lastEventId: this.#lastEventId }));
      },
    });
    const decoder = new TextDecoder();
    try {
      const reader = response.body!.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done || this.#readyState === 2) return;
        parser.feed(decoder.decode(value, { stream: true }));
      }
    } catch {
      // Whether it was cut off or came to its end, it is established again.
    }
  }

  #reestablish(): void {
    if (this.#readyState === 2) return;
    this.#readyState = 0;
    this.dispatchEvent(new Event("error"));
    if (this.#readyState !== 0) return;
    const delay = Math.max(this.#reconnectionTime, Math.min(this.#reconnectionTime * 2 ** this.#failures++, LONGEST_DELAY));
    this.#timer = setTimeout(() => void this.#connect(), delay);
  }

  #fail(): void {
    this.#readyState = 2;
    this.dispatchEvent(new Event("error"));
  }
}
