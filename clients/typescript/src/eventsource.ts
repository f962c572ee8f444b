import { EVENT_SIZE, RETRY_FLOOR, TIMER_CEILING } from "./defaults.ts";
import { Parser } from "./parser.ts";

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
  declare static readonly CONNECTING: 0;
  declare static readonly OPEN: 1;
  declare static readonly CLOSED: 2;
  declare readonly CONNECTING: 0;
  declare readonly OPEN: 1;
  declare readonly CLOSED: 2;

  // What Web IDL asks for, and classes do otherwise.
  static {
    for (const [name, value] of Object.entries({ CONNECTING: 0, OPEN: 1, CLOSED: 2 })) {
      for (const owner of [this, this.prototype]) Object.defineProperty(owner, name, { value, enumerable: true });
    }
    for (const name of ["url", "withCredentials", "readyState", "onopen", "onmessage", "onerror", "close"]) {
      Object.defineProperty(this.prototype, name, { enumerable: true });
    }
    Object.defineProperty(this.prototype, Symbol.toStringTag, { value: "EventSource", configurable: true });
    // Minifiers give classes other names.
    Object.defineProperty(this, "name", { value: "EventSource", configurable: true });
  }

  #url: string;
  #withCredentials: boolean;
  #readyState = 0;
  #fetch: typeof fetch;
  #abort = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #lastEventId = "";
  #reconnectionTime = RECONNECTION_TIME;
  #failures = 0;
  #handlers = new Map<string, { handler: unknown; listener: (event: Event) => void }>();

  constructor(url: string | URL, options: EventSourceOptions | null = {}) {
    super();
    if (!arguments.length) throw new TypeError("an EventSource needs a URL");
    if (options !== null && typeof options !== "object" && typeof options !== "function") {
      throw new TypeError("the options of an EventSource are an object");
    }
    const text = `${url}`;
    try {
      this.#url = new URL(text, globalThis.document?.baseURI ?? globalThis.location?.href).href;
    } catch {
      throw new DOMException(`cannot open an EventSource to \`${text}\`: it is no URL`, "SyntaxError");
    }
    this.#withCredentials = !!options?.withCredentials;
    this.#fetch = options?.fetch ?? ((...request) => fetch(...request));
    void this.#connect();
  }

  get url(): string {
    return this.#url;
  }

  get withCredentials(): boolean {
    return this.#withCredentials;
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
    return this.#handler("open");
  }
  set onopen(handler: Handler<Event>) {
    this.#handle("open", handler);
  }
  get onmessage(): Handler<MessageEvent<string>> {
    return this.#handler("message");
  }
  set onmessage(handler: Handler<MessageEvent<string>>) {
    this.#handle("message", handler);
  }
  get onerror(): Handler<Event> {
    return this.#handler("error");
  }
  set onerror(handler: Handler<Event>) {
    this.#handle("error", handler);
  }

  #handler(type: string): Handler<any> {
    return (this.#handlers.get(type)?.handler ?? null) as Handler<any>;
  }

  /** The place of a handler among the listeners is where it was set while there was none. */
  #handle(type: string, handler: unknown): void {
    const entry = this.#handlers.get(type);
    // An object that cannot be called is kept, and called in vain.
    if ((typeof handler !== "object" && typeof handler !== "function") || handler === null) {
      if (entry) this.removeEventListener(type, entry.listener);
      this.#handlers.delete(type);
    } else if (entry) entry.handler = handler;
    else {
      const listener = (event: Event): void => {
        const handler: unknown = this.#handler(type);
        if (typeof handler === "function") handler.call(this, event);
      };
      this.#handlers.set(type, { handler, listener });
      this.addEventListener(type, listener);
    }
  }

  async #connect(): Promise<void> {
    let response: Response;
    try {
      const headers = new Headers({ Accept: "text/event-stream" });
      const id = bytesOf(this.#lastEventId);
      if (id) headers.set("Last-Event-ID", id);
      response = await this.#fetch(this.#url, {
        headers,
        cache: "no-store",
        credentials: this.#withCredentials ? "include" : "same-origin",
        signal: this.#abort.signal,
      });
    } catch {
      return this.#futile() ? this.#fail() : this.#reestablish();
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

  /** Whether a request that failed can never be sent: by its scheme, for its user name, or for an id with characters that
   * not every `fetch` takes in a header. */
  #futile(): boolean {
    const { protocol, username, password } = new URL(this.#url);
    return !/^https?:/.test(protocol) || !!username || !!password || /[^\t\x20-\uffff]|\x7f/.test(this.#lastEventId);
  }

  async #read(response: Response): Promise<void> {
    let unread = 0;
    try {
      const origin = new URL(response.url || this.#url).origin;
      const parser = new Parser(
        (time) => (this.#reconnectionTime = time),
        ({ id, event, data }) => {
          if (this.#readyState === 2) return;
          unread = 0;
          this.#lastEventId = id ?? this.#lastEventId;
          if (data === undefined) return;
          this.dispatchEvent(new MessageEvent(event || "message", { data, origin, lastEventId: this.#lastEventId }));
        },
      );
      const decoder = new TextDecoder();
      const reader = response.body!.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done || this.#readyState === 2) return;
        const piece = decoder.decode(value, { stream: true });
        parser.feed(piece);
        // An event without an end would take all memory, and again after each attempt.
        if ((unread += piece.length) > EVENT_SIZE) return this.#fail();
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
    const time = Math.max(this.#reconnectionTime, RETRY_FLOOR);
    const delay = Math.max(time, Math.min(time * 2 ** this.#failures++, LONGEST_DELAY));
    this.#timer = setTimeout(() => void this.#connect(), Math.min(delay, TIMER_CEILING));
  }

  #fail(): void {
    if (this.#readyState === 2) return;
    this.close();
    this.dispatchEvent(new Event("error"));
  }
}

/** A text as UTF-8, with one byte in each character, as `Headers` takes it. */
function bytesOf(text: string): string {
  let bytes = "";
  for (const byte of new TextEncoder().encode(text)) bytes += String.fromCharCode(byte);
  return bytes;
}
