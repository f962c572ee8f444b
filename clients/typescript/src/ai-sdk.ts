// The server's side of a chat of the AI SDK (npm `ai`), whose answers survive a refresh, a second tab, and the death of the server
// that produces them.

import { STREAM_GRACE } from "./defaults.ts";
import { TidingsError } from "./error.ts";
import type { TidingsEvent } from "./event.ts";
import type { Source } from "./outbox.ts";
import { Parser } from "./parser.ts";
import { publishStream } from "./publish-stream.ts";
import type { RequestOptions } from "./request.ts";
import { randomName, Runs } from "./runs.ts";

export { chatFetch } from "./chat-fetch.ts";

/** A message that is to be answered. */
export interface ChatRequest {
  /** The id of the chat. */
  id: string;
  /** All messages of the chat, as the transport sent them. */
  messages: any[];
  /** All that the transport sent. */
  body: any;
  /** Is aborted when somebody stops the answer, on whichever instance: give it to the model. */
  signal: AbortSignal;
  request: Request;
}

/** An answer: the chunks of a UI message stream, or the response that the AI SDK makes of them. */
export type ChatAnswer = Source | Response;

/** How answers are kept. */
export interface ChatHandlerOptions extends RequestOptions {
  /** Keeps the program alive until a promise is settled, as `after` of `next/server` does; needed where it is suspended otherwise. */
  waitUntil?: (promise: Promise<unknown>) => void;
  /** For how many milliseconds the hub waits for a server whose connection broke before it ends the answer as aborted; 10,000 by
   * default. */
  grace?: number;
  /** Is told when an answer failed; by default it is written to the console. */
  onError?: (error: unknown) => void;
}

/** The chunk types whose neighbours can be joined, and the field that grows. */
const DELTAS: Record<string, string> = { "text-delta": "delta", "reasoning-delta": "delta", "tool-input-delta": "inputTextDelta" };

/** The fields of an answer in the AI SDK's own format. */
const HEADERS = {
  "content-type": "text/event-stream",
  "cache-control": "no-cache, no-transform",
  "x-accel-buffering": "no",
  "x-vercel-ai-ui-message-stream": "v1",
};

/** A handler for all requests of a chat: `export { chat as GET, chat as POST }` in `app/api/chat/[[...path]]/route.ts`, or whatever
 * answers below `/api/chat` elsewhere. `topic` is the URL of the topic that chats are below, as `https://hub.example/topics/chats`.
 *
 * | request | answer |
 * |---|---|
 * | `POST /api/chat` | asks `answer`, and streams what it gives, by way of the hub |
 * | `GET /api/chat/{id}/stream` | the answer that is under way, from its beginning; 204 where none is |
 * | `GET /api/chat/{run}/stream?startIndex=N` | a run from chunk N on, for `WorkflowChatTransport`; N may count from the end |
 * | `POST /api/chat/{id}/stop` | stops the answer, wherever it is produced |
 * | `GET /api/chat/{id}` | the chat so far: `{"turns": [{"message", "chunks", "reason"?, "active"}]}` |
 *
 * Who may use which chat is for the application to say, before it calls this. */
export function chatHandler(
  topic: string | URL,
  answer: (chat: ChatRequest) => ChatAnswer | Promise<ChatAnswer>,
  options: ChatHandlerOptions = {},
): (request: Request) => Promise<Response> {
  const { waitUntil, grace = STREAM_GRACE, onError = console.error, ...request } = options;
  const runs = new Runs(topic, request);

  async function begin(request: Request): Promise<Response> {
    const body = await request.json().catch(() => undefined);
    const messages = body?.messages ?? (body?.message ? [body.message] : undefined);
    if (!Array.isArray(messages)) return problem(400, "the body is JSON with `messages`, as the transports of the AI SDK send it");
    const id = typeof body.id === "string" && body.id ? body.id : randomName();
    const run = randomName();
    await runs.begin(id, run, messages.at(-1));
    const stop = new AbortController();
    const produced = (async () => {
      try {
        const given = await answer({ id, messages, body, signal: stop.signal, request });
        const source = given instanceof Response ? chunks(given) : given;
        await publishStream(runs.url(id, run), source, { ...runs.options, close: true, grace });
      } catch (cause) {
        stop.abort(cause);
        if (cause instanceof TidingsError && cause.status === 409) return;
        onError(cause);
        // Where it failed before it began, nobody has told its readers.
        await runs.end(id, run, "aborted").catch(onError);
      }
    })();
    waitUntil?.(produced);
    return stream(id, run, 0, false);
  }

  async function resume(id: string, run: string | undefined, from: string | null): Promise<Response> {
    run ??= (await runs.latest(id))?.run;
    if (from === null) {
      if (!run) return new Response(null, { status: 204 });
      // What is complete is the application's by now. An answer that broke off is shown, with that it did.
      const { closed, reason } = await runs.standing(id, run);
      return closed && reason !== "aborted" ? new Response(null, { status: 204 }) : stream(id, run, 0, true);
    }
    const index = Number(from);
    if (!Number.isSafeInteger(index)) return problem(400, "`startIndex` is a whole number");
    if (!run) return problem(404, "this chat has no answer to resume");
    let count = 0;
    for await (const { events } of runs.pages(runs.url(id, run))) count += events.length;
    return stream(id, run, index < 0 ? Math.max(count + index, 0) : index, false, { "x-workflow-stream-tail-index": `${count - 1}` });
  }

  /** A run, from chunk number `skip` on. Where nobody counts its chunks, those that are there already are joined. */
  function stream(id: string, run: string, skip: number, join: boolean, headers?: Record<string, string>): Response {
    const text = runs.follow(
      runs.url(id, run),
      (events) => {
        const news = events.slice(skip);
        skip = Math.max(skip - events.length, 0);
        const told = news.map(({ data }) => data);
        return (join ? joined(told) : told).map(block).join("");
      },
      (reason) => [...ending(reason).map(block), "data: [DONE]\n\n"].join(""),
      ":\n\n",
    );
    return new Response(text.pipeThrough(new TextEncoderStream()), {
      headers: { ...HEADERS, ...headers, "x-workflow-run-id": `${encodeURIComponent(id)}~${run}` },
    });
  }

  async function history(id: string): Promise<Response> {
    const turns = [];
    for (const { run, note } of await runs.all(id)) {
      const events: TidingsEvent[] = [];
      let end;
      for await (end of runs.pages(runs.url(id, run))) events.push(...end.events);
      const { closed, reason } = end!;
      const chunks = joined(events.map(({ data }) => data));
      turns.push({ run, message: note, chunks, active: !closed, ...(reason && { reason }) });
    }
    return Response.json({ turns }, { headers: { "cache-control": "no-store" } });
  }

  return async (request) => {
    const { pathname, searchParams } = new URL(request.url);
    const { method } = request;
    const [, named = "", action] = /\/([^/]+)(?:\/(stream|stop))?$/.exec(pathname) ?? [];
    try {
      const { id, run } = identify(decodeURIComponent(named));
      if (method === "GET" && action === "stream") return await resume(id, run, searchParams.get("startIndex"));
      if (method === "GET" && !action) return await history(id);
      if (method === "POST" && action === "stop") {
        const stopped = run ?? (await runs.latest(id))?.run;
        if (stopped) await runs.end(id, stopped, "stopped");
        return new Response(null, { status: 204 });
      }
      if (method === "POST" && !action) return await begin(request);
      return problem(405, "a chat is posted to, and its stream is got", { allow: action === "stop" ? "POST" : "GET, POST" });
    } catch (cause) {
      onError(cause);
      return problem(503, "the answers of this chat cannot be reached now", { "retry-after": "2" });
    }
  };
}

/** What a path names: a chat, or one run of it. */
function identify(named: string): { id: string; run?: string } {
  const [, id, run] = /^(.+)~([0-9a-f]{32})$/s.exec(named) ?? [];
  return run ? { id: decodeURIComponent(id!), run } : { id: named };
}

const block = (chunk: unknown): string => `data: ${JSON.stringify(chunk)}\n\n`;

/** What readers are told where a run came to no clean end. Without a `finish`, `WorkflowChatTransport` would ask on and on. */
function ending(reason: string | undefined): object[] {
  if (!reason) return [];
  const told = reason === "stopped" ? { type: "abort", reason } : { type: "error", errorText: `The answer broke off (${reason}).` };
  return [told, { type: "finish" }];
}

/** The chunks, with deltas of the same part that follow each other as one. */
function joined(chunks: any[]): any[] {
  const result: any[] = [];
  for (const chunk of chunks) {
    const last = result.at(-1);
    const grows = DELTAS[chunk?.type];
    const same = grows && last?.type === chunk.type && last.id === chunk.id && last.toolCallId === chunk.toolCallId;
    if (same && !chunk.providerMetadata && !last.providerMetadata) last[grows] += chunk[grows];
    else result.push({ ...chunk });
  }
  return result;
}

/** The chunks in a response of the AI SDK. */
function chunks(response: Response): ReadableStream<unknown> {
  if (!response.ok || !response.body) throw Error(`the answer has the status ${response.status}, and is no stream`);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let found: unknown[] = [];
  const parser = new Parser(
    () => {},
    ({ data }) => {
      if (data !== undefined && data !== "[DONE]") found.push(JSON.parse(data));
    },
  );
  return new ReadableStream({
    async pull(controller) {
      for (; !found[0]; ) {
        const { done, value } = await reader.read();
        if (done) return controller.close();
        parser.feed(value);
      }
      for (const chunk of found) controller.enqueue(chunk);
      found = [];
    },
    cancel: (cause) => reader.cancel(cause),
  });
}

const problem = (status: number, detail: string, headers?: Record<string, string>): Response =>
  Response.json({ title: detail, status, detail }, { status, headers: { ...headers, "content-type": "application/problem+json" } });
