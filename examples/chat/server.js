// The server of the page: what an application writes is the call of `chatHandler`, the rest is what a framework does.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { convertToModelMessages, generateId, streamText, toUIMessageStream } from "ai";
import { chatHandler } from "tidings/ai-sdk";

const { PORT, HUB_PORT, MODEL_URL, MODEL = "generator", GRACE = "10000", PAGE } = process.env;
const hub = `http://127.0.0.1:${HUB_PORT}`;
const model = createOpenAICompatible({ name: "local", baseURL: MODEL_URL }).chatModel(MODEL);

const chat = chatHandler(`${hub}/topics/chats`, async ({ messages, signal }) => {
  const { stream } = streamText({ model, messages: await convertToModelMessages(messages), abortSignal: signal });
  return toUIMessageStream({ stream, generateMessageId: generateId });
}, { grace: Number(GRACE) });

const file = (content, type) => new Response(content, { headers: { "content-type": type } });
const page = readFileSync("page.html");
const script = readFileSync(PAGE);

/** Other tabs are told of new turns by the hub. What a page may ask it is for its server to say. */
async function turns(request) {
  const url = new URL(request.url);
  const headers = { accept: request.headers.get("accept") ?? "*/*" };
  const { status, body, headers: told } = await fetch(hub + url.pathname.slice("/hub".length) + url.search, { headers, signal: request.signal });
  return new Response(body, { status, headers: { "content-type": told.get("content-type") ?? "", "cache-control": "no-store" } });
}

async function answer(request) {
  const { pathname } = new URL(request.url);
  if (pathname === "/") return file(page, "text/html; charset=utf-8");
  if (pathname === "/page.js") return file(script, "text/javascript");
  if (pathname.startsWith("/hub/topics/chats/") && request.method === "GET") return turns(request);
  if (pathname.startsWith("/api/chat")) return chat(request);
  return new Response("not found", { status: 404 });
}

const server = createServer(async (incoming, outgoing) => {
  const gone = new AbortController();
  outgoing.on("close", () => gone.abort());
  const { method, headers } = incoming;
  const body = method === "GET" || method === "HEAD" ? undefined : Readable.toWeb(incoming);
  try {
    const request = new Request(new URL(incoming.url, "http://page"), { method, headers, body, duplex: "half", signal: gone.signal });
    const response = await answer(request);
    outgoing.writeHead(response.status, Object.fromEntries(response.headers));
    outgoing.flushHeaders();
    if (response.body) await pipeline(Readable.fromWeb(response.body), outgoing);
    else outgoing.end();
  } catch (error) {
    if (!gone.signal.aborted) console.error(error);
    outgoing.destroy();
  }
});
server.listen(PORT, "127.0.0.1", () => console.log(`open http://127.0.0.1:${PORT}`));
