// WebSockets: the client's transport over the npm package `ws`, and a server whose connections do as a test says.

import { createServer } from "node:http";
import { websocket } from "tidings/websocket";
import { WebSocket, WebSocketServer } from "ws";

/** Node.js 20 has no WebSocket of its own. */
export const socket = () => websocket({ WebSocket });

/** Every transport by its name, as `transports` takes it. */
export const transports = { websocket: socket(), sse: "sse", "long-poll": "long-poll", poll: "poll" };

/** Serves connections one after the other as the scripts say, and all further ones as the last; other requests as `http` does. */
export async function sockets(test, scripts, http = (request, response) => response.writeHead(404).end()) {
  const connections = [];
  let changed = () => {};
  const server = createServer(http);
  const accepting = new WebSocketServer({ server, perMessageDeflate: false });
  accepting.on("connection", (peer, { url, headers }) => {
    const connection = { query: new URL(url, "http://script").searchParams, url, headers, heard: [], closed: undefined };
    connection.say = (message) => peer.send(typeof message === "string" ? message : JSON.stringify(message));
    connection.peer = peer;
    peer.on("message", (text) => {
      connection.heard.push(JSON.parse(text));
      connection.on?.(connection.heard.at(-1));
      changed();
    });
    peer.on("close", (code) => {
      connection.closed = code;
      changed();
    });
    peer.on("error", () => {});
    connections.push(connection);
    scripts[Math.min(connections.length, scripts.length) - 1](connection);
    changed();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  test.after(() => {
    for (const peer of accepting.clients) peer.terminate();
    server.closeAllConnections();
    server.close();
  });
  /** Waits until the connections are so. */
  const until = async (condition) => {
    while (!condition(connections)) await new Promise((resolve) => (changed = resolve));
    return connections;
  };
  const origin = `http://127.0.0.1:${server.address().port}`;
  return { url: `${origin}/topics/t`, origin, connections, until };
}

/** What a hub says first. */
export const subscribed = (n = 0) => ({ subscribed: "", next: `aaaaaa-${n}` });
