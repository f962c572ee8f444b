import { BUFFER_SIZE, MESSAGE_SIZE, RENEWAL, RENEWAL_FLOOR, TIMER_CEILING } from "../defaults.ts";
import { TidingsError } from "../error.ts";
import type { Step } from "../event.ts";
import type { Published } from "../publish.ts";
import { refusal, supply } from "../request.ts";
import type { Settings } from "../settings.ts";
import type { Span } from "../span.ts";

/** How to connect. */
export interface WebSocketOptions {
  /** The class to connect with, instead of the global `WebSocket`: for Node.js 20, which has none, that of the npm package
   * `ws`. */
  WebSocket?: new (url: string, protocol: string) => any;
}

/** What `websocket()` makes: a transport for `connect`, and a way for `publish`. Its members are the client's own. */
export interface SocketTransport {
  read(url: URL, span: Span, settings: Settings, silence: number): AsyncIterable<Step[]>;
  publish(url: URL, write: (topic: string) => string): Promise<Published> | undefined;
}

/** Publishes, where the hub is the one that the socket is connected to. */
type Line = SocketTransport["publish"];

/** Which hub a URL is of, and which topic of it; none where the hub is to say what is wrong with it. */
const locate = ({ origin, pathname }: URL): [hub: string, topic?: string | undefined] => {
  const [, base, topic] = /^(.*?\/)(?:topics\/(.+)|events)$/.exec(pathname) ?? [];
  try {
    return [origin + base, topic && decodeURIComponent(topic)];
  } catch {
    return [origin + base];
  }
};

/** A WebSocket among the transports of `connect`. */
export function websocket({ WebSocket: Given }: WebSocketOptions = {}): SocketTransport {
  /** Those of the connections that are open. */
  const lines = new Set<Line>();
  return {
    publish(...letter) {
      for (const line of lines) {
        const published = line(...letter);
        if (published) return published;
      }
      return;
    },
    async *read(url, span, { token, maxEventSize, parse }, silence) {
      const { signal } = span;
      const [hub] = locate(url);
      const unacknowledged = new Map<number, [resolve: (published: object) => void, reject: (error: unknown) => void]>();
      let count = 0;
      let steps: Step[] = [];
      /** How many characters came, and were not taken yet. */
      let size = 0;
      let opened = false;
      /** Why nothing more is taken from this connection: it failed, or the consumer has enough for now. */
      let over: { error?: unknown } | undefined;
      let timer: ReturnType<typeof setTimeout>;
      let changed = (): void => {};
      const shown = await supply(token, span);
      signal.throwIfAborted();
      span.start("stalled");
      url.protocol = url.protocol.replace("http", "ws");
      const socket: WebSocket = new (Given ?? WebSocket)(url.href, "tidings.v1");

      const show = (shown?: string): void => {
        if (shown && !over) socket.send(JSON.stringify({ token: shown }));
      };

      /** Shows another token before the one that the hub has ends. */
      const renew = (until: number): void => {
        clearTimeout(timer);
        const left = until - Date.now();
        if (typeof token !== "function" || !(left > 0)) return;
        timer = setTimeout(
          async () => {
            try {
              show(await token());
            } catch {
              // The one before is good until its end. Then the next attempt says what is wrong.
            }
          },
          Math.min(Math.max(left * RENEWAL, RENEWAL_FLOOR), TIMER_CEILING),
        );
      };

      const line: Line = (at, write) => {
        const [there, topic] = locate(at);
        if (there !== hub || !topic) return;
        const ref = ++count;
        const text = `{"ref":${ref},"publish":${write(topic)}}`;
        // Half a pair of surrogates has no form in JSON that everybody reads.
        if (text.length > MESSAGE_SIZE || /\\ud[89a-f]/.test(text)) return;
        socket.send(text);
        return new Promise<object>((...settle) => unacknowledged.set(ref, settle)).then(
          (published) => ({ topic, repeated: false, ...published }) as Published,
        );
      };

      const end = (reason: { error?: unknown }): void => {
        if (over) return;
        over = reason;
        lines.delete(line);
        clearTimeout(timer);
        socket.close();
        for (const [, reject] of unacknowledged.values()) reject(new TidingsError("broken", "the WebSocket closed before the acknowledgement"));
        changed();
      };

      const receive = (text: string): void => {
        if (text.length > maxEventSize) throw Error("too large");
        const told = parse(text);
        const { next, gap, end: last, problem, topic, ref, published, token: accepted } = told;
        const [resolve, reject] = unacknowledged.get(ref) ?? [];
        unacknowledged.delete(ref);
        if (problem) {
          const error = refusal(problem.status, problem);
          if (ref === undefined) throw error;
          reject?.(error);
        } else if (published) resolve?.(published);
        else if (size >= BUFFER_SIZE) {
          // It comes again on the next connection, once what came before it is taken.
          span.stop();
          end({});
        } else if (gap || topic !== undefined) {
          size += text.length;
          steps.push({ ...(gap ? { cursor: gap.resumed, gap } : { cursor: told.id, event: told }), size: text.length });
        } else if (accepted) renew(Date.parse(accepted.until));
        else if (last || next) steps.push({ cursor: last ? last.id : next, end: !!last, reason: last?.reason });
        changed();
      };

      signal.addEventListener("abort", () => end({ error: signal.reason }));
      socket.onopen = () => {
        opened = true;
        show(shown);
      };
      socket.onmessage = ({ data }) => {
        if (over) return;
        span.patience = silence;
        span.kind = "silent";
        span.start("malformed");
        lines.add(line);
        try {
          receive(data);
        } catch (cause) {
          end({ error: span.blame(cause) });
        }
      };
      // Without a listener, some of the classes take an error for one that nobody caught.
      socket.onerror = () => {};
      socket.onclose = ({ code, reason }) => {
        // A hub that shuts down says so in words, with a time for each client to come back.
        const [, time] = /(\d+) ms/.exec(reason) ?? [];
        end({
          error: !opened
            ? new TidingsError("stalled", "the WebSocket did not open")
            : code > 4399
              ? refusal(code - 4000, { type: "urn:tidings:closed", detail: reason })
              : new TidingsError(code < 1002 ? "ended" : code === 1013 ? "unavailable" : "broken", reason || code, time ? { retryAfter: +time } : {}),
        });
      };

      try {
        for (;;) {
          while (steps[0]) {
            size = 0;
            yield steps.splice(0);
          }
          if (over) {
            if ("error" in over) throw over.error;
            return;
          }
          await new Promise<void>((resolve) => (changed = resolve));
        }
      } finally {
        end({});
      }
    },
  };
}
