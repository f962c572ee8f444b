// A stream that a test writes to while somebody reads it.

export function source() {
  let controller;
  let cancelled;
  const whenCancelled = new Promise((resolve) => (cancelled = resolve));
  const readable = new ReadableStream({
    start: (given) => void (controller = given),
    cancel: (cause) => void cancelled(cause),
  });
  return {
    readable,
    write: (item) => controller.enqueue(item),
    end: () => controller.close(),
    fail: (cause) => controller.error(cause),
    cancelled: whenCancelled,
  };
}

/** All of a stream of strings, up to its end. */
export async function whole(stream) {
  let text = "";
  for await (const piece of stream) text += piece;
  return text;
}

/** What a stream has until it holds a text, and the way to read on. */
export function reading(stream) {
  const reader = stream.getReader();
  let text = "";
  return {
    async until(wanted) {
      while (!text.includes(wanted)) {
        const { done, value } = await reader.read();
        if (done) throw new Error(`the stream ended without ${wanted}: ${text}`);
        text += value;
      }
      return text;
    },
    async rest() {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return text;
        text += value;
      }
    },
    cancel: (cause) => reader.cancel(cause),
  };
}
