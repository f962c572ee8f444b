import { current } from "./token.ts";

/** What goes over the wire, as far as a page can see it. */
export interface Tap {
  /** A request leaves. What it returns is told of the rest of it. */
  request(url: URL): Listener;
}

export interface Listener {
  /** `bytes` is the size of the head as HTTP/1.1 writes it. */
  head?(response: Response, bytes: number): void;
  /** A WebSocket has opened. */
  opened?(): void;
  /** A WebSocket was sent this. */
  sent?(text: string): void;
  /** `framing` is what a WebSocket takes beside. */
  bytes?(bytes: Uint8Array, framing?: number): void;
  /** The answer has come whole, or is not read any further. */
  end?(): void;
}

/** The browser's `fetch`, with somebody who listens. */
export function tapped(tap: Tap): typeof fetch {
  return async (input, init) => {
    const listener = tap.request(new URL(String(input instanceof Request ? input.url : input)));
    let ended = false;
    const end = () => {
      if (!ended) listener.end?.();
      ended = true;
    };
    init?.signal?.addEventListener("abort", end);
    try {
      const response = await fetch(input, init);
      listener.head?.(response, headSize(response));
      if (!response.body || response.status < 200) {
        end();
        return response;
      }
      const reader = response.body.getReader();
      const body = new ReadableStream<Uint8Array>(
        {
          async pull(controller) {
            try {
              const { value, done } = await reader.read();
              if (value) listener.bytes?.(value);
              if (!done) return controller.enqueue(value);
              end();
              controller.close();
            } catch (error) {
              end();
              controller.error(error);
            }
          },
          cancel(reason) {
            end();
            return reader.cancel(reason);
          },
        },
        // Nothing is read ahead of the client, so that its backpressure reaches the hub.
        { highWaterMark: 0 },
      );
      return new Response(body, response);
    } catch (error) {
      end();
      throw error;
    }
  };
}

const encoder = new TextEncoder();

/** The browser's `WebSocket`, with somebody who listens. Of compression a page sees nothing. */
export const tappedSocket = (tap: Tap): typeof WebSocket =>
  class extends WebSocket {
    #listener: Listener;
    constructor(url: string | URL, protocols?: string | string[]) {
      super(url, protocols);
      const listener = (this.#listener = tap.request(new URL(url)));
      this.addEventListener("open", () => listener.opened?.());
      this.addEventListener("message", ({ data }) => {
        const bytes = encoder.encode(data);
        listener.bytes?.(bytes, bytes.length < 126 ? 2 : bytes.length < 65_536 ? 4 : 10);
      });
      this.addEventListener("close", () => listener.end?.());
    }
    override send(data: string): void {
      this.#listener.sent?.(data);
      super.send(data);
    }
    // What is closed is read no more, also where the other side takes its time.
    override close(...why: [code?: number, reason?: string]): void {
      this.#listener.end?.();
      super.close(...why);
    }
  };

function headSize(response: Response): number {
  let size = "HTTP/1.1 200 \r\n\r\n".length + response.statusText.length;
  response.headers.forEach((value, name) => (size += name.length + value.length + ": \r\n".length));
  return size;
}

/** What every subscription of the page has in common. */
export const withToken = { token: (): string | undefined => current() };
