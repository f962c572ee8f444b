// Runs in the runtime that is tested, in a folder where `tidings` is installed. Its argument is where to read and how;
// on stdin it is told what to do, and on stdout it says what it sees, each as a line of JSON.

import process from "node:process";
import { createInterface } from "node:readline";
import { connect, publish, publishStream } from "tidings";
import { connect as share } from "tidings/share";
import { websocket } from "tidings/websocket";

const { url, shared, ...options } = JSON.parse(process.argv[2]);
const socket = websocket();
options.transports &&= options.transports.map((name) => (name === "websocket" ? socket : name));
const say = (what) => console.log(JSON.stringify(what));

const events = shared ? share(url, { ...options, share: true }) : connect(url, options);
events.on("state", ({ status, error }) => say({ state: status, error: error?.message }));
events.on("gap", (gap) => say({ gap }));
events.on("*", ({ data }) => say({ event: data, cursor: events.cursor }));

/** What is published as a stream, for as long as it is told. */
let stream;
async function open() {
  const readable = new ReadableStream({ start: (controller) => void (stream = controller) });
  const { events } = await publishStream(url, readable, { close: true, grace: 60_000 });
  say({ streamed: events });
}

const commands = createInterface({ input: process.stdin });
commands.on("line", async (line) => {
  const { publish: data, item, end, pause, resume, close } = JSON.parse(line);
  if (pause) events.pause();
  if (resume) events.resume();
  if (item) {
    if (!stream) void open();
    stream.enqueue(item);
  }
  if (end) stream.close();
  if (close) {
    events.close();
    // From here on nothing is left that keeps the program alive.
    commands.close();
    process.stdin.destroy();
  }
  if (data) say({ published: await publish(url, data, { retryFor: 60_000, socket }) });
});
