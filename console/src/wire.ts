import { current } from "./token.ts";

/** What goes over the wire, as far as a page can see it. */
export interface Tap {
  /** A request leaves. What it returns is told of the rest of it. */
  request(url: URL): Listener;
}

export interface Listener {
  /** `bytes` is the size of the head as HTTP/1.1 writes it. */
  head?(response: Response, bytes: number): void;
  bytes?(bytes: Uint8Array): void;
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

function headSize(response: Response): number {
  let size = "HTTP/1.1 200 \r\n\r\n".length + response.statusText.length;
  response.headers.forEach((value, name) => (size += name.length + value.length + ": \r\n".length));
  return size;
}

/** What every subscription of the page has in common. */
export const withToken = { token: (): string | undefined => current() };
