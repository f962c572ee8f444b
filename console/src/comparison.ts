import { field, h, perFrame, select, write } from "./dom.ts";
import { amount, bytes, count, duration, NONE, quantile } from "./format.ts";
import { at, topicUrl, wordsOf } from "./hub.ts";
import { type Lane, lanes } from "./lanes.ts";
import { type Result, Run, type Settings } from "./run.ts";
import type { View } from "./view.ts";

const TOPIC = "console/transports";
const COLUMNS = [
  ["sse", "Server-Sent Events", "one answer that never ends"],
  ["websocket", "WebSocket", "one connection, both ways"],
  ["long-poll", "Long poll", "held until there is an event"],
  ["poll", "Short poll", "an answer at every interval"],
] as const;

const ROWS: [name: string, value: (result: Result) => string, more: (result: Result) => string][] = [
  ["Median delay", ({ delays }) => duration(quantile(delays, 0.5)), ({ delays }) => (delays.length ? `${duration(Math.max(...delays))} max` : "")],
  ["Events", ({ delays, published }) => (published ? count(delays.length) : NONE), ({ published }) => (published ? `of ${count(published)}` : "")],
  ["Requests per event", ({ requests, delays }) => amount(requests / delays.length), ({ requests }) => (requests ? `${count(requests)} in all` : "")],
  ["Bytes per event", ({ bytes: all, delays }) => bytes(all / delays.length), ({ bytes: all }) => (all ? `${bytes(all)} in all` : "")],
];

/** The transports side by side: the same events, from the same topic, at once. */
export function comparison(): View {
  let run: Run | undefined;
  const topic = h("input", { value: TOPIC, autocomplete: "off", spellcheck: "false", required: true });
  const settings: Settings = { events: 20, pause: 400, interval: 2_000 };
  const button = h("button", { type: "submit", class: "primary" }, "Publish test events");
  const says = h("p", { class: "says", role: "status" });
  const cells = ROWS.map(() => COLUMNS.map(() => [h("span", { class: "value" }, NONE), h("span", { class: "note" })] as const));
  const figure = lanes();

  const element = h(
    "section",
    { class: "comparison", "aria-labelledby": "comparison-title" },
    h("div", { class: "bar" }, h("h2", { id: "comparison-title" }, "The transports side by side")),
    h("p", { class: "lead" }, "This page subscribes to one topic four times at once, publishes a few small events there, and measures by its own clock when each subscription has them."),
    h(
      "form",
      { class: "controls", submit: start },
      field("Topic", topic),
      field("Events", select([["10", "10"], ["20", "20"], ["50", "50"]], "20", (value) => (settings.events = Number(value)))),
      field("One every", select([["100", "0.1 s"], ["400", "0.4 s"], ["1500", "1.5 s"]], "400", (value) => (settings.pause = Number(value)))),
      field("Short poll every", select([["500", "0.5 s"], ["2000", "2 s"], ["5000", "5 s"]], "2000", (value) => (settings.interval = Number(value)))),
      button,
    ),
    says,
    h(
      "table",
      {},
      h("caption", { class: "hidden" }, "Delay, requests and bytes by transport"),
      h("thead", {}, h("tr", {}, h("td", {}), ...COLUMNS.map(([tone, name, explained]) => h("th", { scope: "col", class: tone }, h("span", { class: "name" }, name), h("span", { class: "note" }, explained))))),
      h("tbody", {}, ...ROWS.map(([name], i) => h("tr", { class: i === 0 ? "first" : "" }, h("th", { scope: "row" }, name), ...cells[i]!.map((cell) => h("td", {}, ...cell))))),
    ),
    h("p", { class: "note fine" }, "Delays are from the moment of publishing. Bytes are those of the answers with their heads, and of a WebSocket's messages before they are compressed; each request takes some more."),
    figure.element,
    h(
      "p",
      { class: "note measured" },
      "This is one client, at one rate. What each transport takes for many clients and at many rates, through this very proxy or network, and from which rate on which one is wasteful, is measured by ",
      h("code", {}, `tidings compare --url ${at(".").href}`),
      ". How to choose is said in docs/transports.md.",
    ),
  );

  const draw = perFrame(() => {
    if (!run) return;
    const results = run.results;
    ROWS.forEach(([, value, more], i) =>
      results.forEach((result, j) => {
        const [figure, note] = cells[i]![j]!;
        write(figure, value(result));
        write(note, more(result));
      }),
    );
    figure.draw(run.clock(), run.published, results.map((result, i): Lane => ({ ...result, name: COLUMNS[i]![1], tone: COLUMNS[i]![0] })));
    if (run.running) draw();
  });

  async function start(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    if (run?.running) return run.stop();
    const url = topicUrl(topic.value);
    if (!url) return write(says, "Not begun: a URL cannot name a topic with an empty segment, or one of dots.");
    const own = (run = new Run(url, { ...settings }, COLUMNS.map(([transport]) => transport)));
    write(button, "Stop");
    write(says, "Subscribing four times.");
    draw();
    try {
      await own.go((words) => write(says, words));
      write(says, conclude(own));
    } catch (error) {
      write(says, `Ended early: ${wordsOf(error)}.`);
    } finally {
      write(button, "Publish test events");
      draw();
    }
  }

  return {
    element,
    title: "Transports",
    show() {
      draw();
    },
    hide() {
      run?.stop();
    },
  };
}

function conclude({ results, answered }: Run): string {
  const [stream, , , poll] = results.map(({ delays }) => quantile(delays, 0.5));
  const missing = results.some(({ delays, published }) => delays.length < published);
  if (missing) return "Stopped before every subscription had every event.";
  const publishing = `The hub took ${duration(quantile(answered, 0.5))} to acknowledge one.`;
  return `Every subscription has every event, once and in order. ${publishing} The short poll brought them ${duration(poll! - stream!)} later than the stream did.`;
}
