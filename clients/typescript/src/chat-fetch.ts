/** After how long without a byte a connection counts as dead. A handler of `chatHandler` shows itself every 15 s. */
const SILENCE = 40_000;

/** A `fetch` for the transports of the AI SDK: `new DefaultChatTransport({ fetch: chatFetch() })`.
 *
 * With it `stop()` of `useChat` stops the answer itself, and not only the reading of it: it asks for `POST …/{run}/stop` of the handler
 * that `chatHandler` makes. A page that is left or reloaded stops nothing. A component that is unmounted does where it made its own
 * chat, as `useChat` calls `stop()` then: keep the chat outside of the component (`useChat({ chat })`) where it is not to.
 *
 * And a connection that is dead is noticed, when the network goes or nothing comes any more: the chat is told of a network error,
 * after which `resumeStream()` goes on. */
export function chatFetch(given?: typeof fetch): typeof fetch {
  return async (input, init) => {
    const request = given ?? fetch;
    const { signal, ...rest } = init ?? {};
    const url = `${input instanceof Request ? input.url : input}`;
    const posts = (rest.method ?? "GET").toUpperCase() === "POST";
    const inner = new AbortController();
    const asked = request(input, { ...rest, signal: inner.signal });

    const stop = ({ headers: told }: Response) => {
      const run = told.get("x-workflow-run-id");
      if (!run) return;
      const path = url.replace(/[?#].*$/s, "");
      const base = posts ? path : path.replace(/\/[^/]*\/stream$/, "");
      const { headers, credentials } = rest;
      // It is sent also where the page is left right then.
      const options = { method: "POST", keepalive: true, ...(headers && { headers }), ...(credentials && { credentials }) };
      request(`${base}/${encodeURIComponent(run)}/stop`, options).catch(() => {});
    };

    const response = await new Promise<Response>((resolve, reject) => {
      const aborted = () => {
        // Until it is answered nobody knows which run it is that is to be stopped. One that was only to be resumed is not.
        if (posts) asked.then(stop).finally(() => inner.abort()).catch(() => {});
        else inner.abort();
        reject(signal!.reason);
      };
      if (signal?.aborted) return aborted();
      signal?.addEventListener("abort", aborted, { once: true });
      asked.then(resolve, reject).finally(() => signal?.removeEventListener("abort", aborted));
    });
    return response.body ? new Response(watch(response, inner, signal, stop), response) : response;
  };
}

/** The body, until it is complete, nothing comes any more, or somebody stops it. */
function watch(
  response: Response,
  inner: AbortController,
  signal: AbortSignal | null | undefined,
  stop: (response: Response) => void,
): ReadableStream<Uint8Array> {
  let timer: ReturnType<typeof setTimeout>;
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  const reader = response.body!.getReader();
  const aborted = () => {
    stop(response);
    fail(signal!.reason);
  };
  // In the words that the AI SDK knows as those of a network that fails.
  const offline = () => fail(new TypeError("network error: offline"));
  const silent = () => fail(new TypeError(`network error: nothing came for ${SILENCE / 1_000} s`));
  const over = () => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", aborted);
    globalThis.removeEventListener?.("offline", offline);
  };
  const fail = (cause: unknown) => {
    over();
    controller.error(cause);
    inner.abort(cause);
  };
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(silent, SILENCE);
  };
  signal?.addEventListener("abort", aborted, { once: true });
  globalThis.addEventListener?.("offline", offline);
  const body = new ReadableStream<Uint8Array>(
    {
      start(given) {
        controller = given;
        alive();
      },
      async pull() {
        const { done, value } = await reader.read();
        if (done) {
          over();
          return controller.close();
        }
        alive();
        controller.enqueue(value);
      },
      cancel(cause) {
        over();
        return reader.cancel(cause);
      },
    },
    { highWaterMark: 0 },
  );
  if (signal?.aborted) aborted();
  return body;
}
