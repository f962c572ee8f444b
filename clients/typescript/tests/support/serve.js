// A handler of `(Request) => Response` behind a real port, as a framework would serve it.

import { createServer } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

/** Serves a handler until the test ends. `cut()` breaks all connections, as a server does that dies. */
export async function serve(test, handler) {
  const requests = [];
  const server = createServer(async (incoming, outgoing) => {
    const gone = new AbortController();
    outgoing.on("close", () => gone.abort());
    const body = ["GET", "HEAD"].includes(incoming.method) ? undefined : Readable.toWeb(incoming);
    const url = new URL(incoming.url, `http://${incoming.headers.host}`);
    requests.push(`${incoming.method} ${decodeURIComponent(incoming.url)}`);
    const request = new Request(url, { method: incoming.method, headers: incoming.headers, body, duplex: "half", signal: gone.signal });
    const response = await handler(request);
    outgoing.writeHead(response.status, Object.fromEntries(response.headers));
    outgoing.flushHeaders();
    // Whoever leaves takes the stream with it, and one that fails breaks the connection.
    if (response.body) await pipeline(Readable.fromWeb(response.body), outgoing).catch(() => {});
    else outgoing.end();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = () => server.closeAllConnections();
  test.after(() => {
    cut();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}`, requests, cut };
}
