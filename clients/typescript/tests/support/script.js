// A server that answers each request as a test says, for what a hub does not do.

import { createServer } from "node:http";

/** Answers the requests one after the other, and all further ones like the last. */
export async function script(test, ...answers) {
  const requests = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (piece) => (body += piece));
    request.on("end", () => {
      const url = new URL(request.url, "http://script");
      requests.push({ url, query: url.searchParams, headers: request.headers, method: request.method, body, at: Date.now() });
      answers[Math.min(requests.length, answers.length) - 1](response, requests.at(-1));
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  test.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}/topics/t`, requests, server };
}

export const events = (...pieces) => (response) => {
  response.writeHead(200, { "content-type": "text/event-stream" });
  for (const piece of pieces) response.write(piece);
};

export const ended = (...pieces) => (response) => {
  events(...pieces)(response);
  response.end();
};

export const page = (page, headers = {}) => (response) => {
  response.writeHead(200, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify({ events: [], next: "aaaaaa-0", more: false, ...page }));
};

export const problem = (status, detail, headers = {}) => (response) => {
  response.writeHead(status, { "content-type": "application/problem+json", ...headers });
  response.end(JSON.stringify({ type: "urn:tidings:x", title: "x", status, detail }));
};

export const event = (n, data = n) => ({ id: `aaaaaa-${n}`, topic: "t", time: "2026-11-24T00:00:00Z", data });

/** An event as it stands in a stream. */
export const block = (n, data) => `id: aaaaaa-${n}\ndata: ${JSON.stringify(event(n, data))}\n\n`;

/** The first block of a stream. */
export const begin = (n = 0) => `retry: 100\nid: aaaaaa-${n}\n\n`;
