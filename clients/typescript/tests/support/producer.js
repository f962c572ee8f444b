// A program of its own that begins a resumable stream, writes what it is told on its standard input, and can be killed.
// `node producer.js HUB NAME`

import { createInterface } from "node:readline";
import { createResumableStreamContext } from "tidings/resumable-stream";

const [hub, name] = process.argv.slice(2);
const context = createResumableStreamContext({ hub, waitUntil: null, grace: 0 });
const lines = createInterface(process.stdin);
const readable = new ReadableStream({
  start(controller) {
    lines.on("line", (line) => controller.enqueue(`${line}\n`));
    lines.on("close", () => controller.close());
  },
  cancel(cause) {
    console.log(`cancelled ${cause?.problem?.reason}`);
    process.exit();
  },
});
await context.createNewResumableStream(name, () => readable);
console.log("begun");
