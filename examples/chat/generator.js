// Stands in for a model: a server that speaks OpenAI's wire for chat completions, and generates words at a steady pace. It knows nothing.

import { createServer } from "node:http";

const { MODEL_PORT = 8097, RATE = 20, LENGTH = 120 } = process.env;
const WORDS = "a log keeps what was said and a cursor knows where each of us has stopped reading so nobody has to begin again".split(" ");

/** What it says to a question, token by token. */
function* tokens(question) {
  yield* `I am not a language model. I am a token generator, here so that this page works without one. You said: "${question}". And on it goes:`
    .split(/(?<= )/);
  for (let n = 0; n < LENGTH; n++) yield ` ${WORDS[n % WORDS.length]}`;
  yield ".";
}

const server = createServer(async (request, response) => {
  let body = "";
  for await (const piece of request) body += piece;
  if (request.method !== "POST" || !request.url.endsWith("/chat/completions")) return response.writeHead(404).end();
  const { messages, model } = JSON.parse(body);
  const { content } = messages.findLast(({ role }) => role === "user") ?? { content: "nothing" };
  const question = typeof content === "string" ? content : content.map(({ text }) => text ?? "").join("");
  const all = [...tokens(question)];
  const chunk = (delta, finish_reason = null) =>
    response.write(`data: ${JSON.stringify({ id: "generated", object: "chat.completion.chunk", created: 0, model, choices: [{ index: 0, delta, finish_reason }] })}\n\n`);
  response.writeHead(200, { "content-type": "text/event-stream" });
  let at = 0;
  const timer = setInterval(() => {
    if (at < all.length) return chunk({ role: "assistant", content: all[at++] });
    chunk({}, "stop");
    response.end("data: [DONE]\n\n");
    clearInterval(timer);
  }, 1_000 / RATE);
  response.on("close", () => {
    clearInterval(timer);
    console.log(`generator: ${at < all.length ? "stopped" : "done"} after ${at} of ${all.length} tokens`);
  });
});
server.listen(MODEL_PORT, "127.0.0.1", () => console.log(`generator: listening on http://127.0.0.1:${MODEL_PORT}/v1`));
