/** How readers get their events, by the names that the metrics give them. */
export const TRANSPORTS = [
  ["sse", "Server-Sent Events"],
  ["websocket", "WebSocket"],
  ["long-poll", "long poll"],
  ["poll", "short poll"],
  ["ndjson", "JSON lines"],
] as const;
