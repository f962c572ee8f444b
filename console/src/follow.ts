import { connect, type Gap, type State, type Subscription, type TidingsEvent, type Transport } from "tidings";
import { websocket } from "tidings/websocket";
import { field, h, perFrame, segments, select, write } from "./dom.ts";
import { bytes, clock, count } from "./format.ts";
import { frames } from "./frames.ts";
import { ask, at, demand, forgetDeclined, readUrl } from "./hub.ts";
import { type Data, Json, parse, textOf } from "./published.ts";
import { askForToken } from "./token.ts";
import { tapped, tappedSocket, withToken } from "./wire.ts";

export interface Follow {
  element: HTMLElement;
  show(selector: string): void;
  hide(): void;
}

/** What is shown is bounded in rows and in characters; the hub has the rest. */
const ROWS = 500;
const CHARACTERS = 2 << 20;
const SUBSCRIBERS = 5_000;

interface Entry {
  row: HTMLElement;
  /** What a filter looks in. */
  text: string;
  size: number;
}

/** A topic or a selector, live. */
export function follow(): Follow {
  let selector = "";
  let subscription: Subscription | undefined;
  let paused = false;
  let transport: Transport | "auto" = "auto";
  let since = "-20";
  let entries: Entry[] = [];
  let fresh: Entry[] = [];
  let size = 0;
  let [told, gaps] = [0, 0];
  let watch: ReturnType<typeof setInterval> | undefined;

  const title = h("h2", { class: "selector" });
  const state = h("p", { class: "state", role: "status" });
  const tally = h("p", { class: "note tally" });
  const readers = h("span", { class: "tag live", hidden: true });
  const pause = h("button", { type: "button", "aria-pressed": "false", click: toggle }, "Pause");
  const clear = h("button", { type: "button", click: empty }, "Clear");
  const filter = h("input", { type: "search", placeholder: "type, topic or data", autocomplete: "off", spellcheck: "false", input: sift });
  const log = h("div", { class: "events", role: "log", "aria-live": "off", "aria-label": "Events, the newest first", tabindex: 0 });
  const nothing = h("p", { class: "empty" }, "No event yet. What is published from now on appears here.");
  const wire = frames();
  wire.element.hidden = true;

  const element = h(
    "section",
    { class: "follow", "aria-label": "Follow" },
    h("div", { class: "heading" }, title, readers),
    h("div", { class: "line" }, state, tally),
    h(
      "div",
      { class: "controls" },
      pause,
      clear,
      field("Filter", filter),
      field("Begin", select([["latest", "now"], ["-20", "20 events ago"], ["15m", "15 minutes ago"], ["earliest", "at the earliest"]], since, (chosen) => ((since = chosen), begin()))),
      field("Transport", select<Transport | "auto">([["auto", "what works"], ["sse", "Server-Sent Events"], ["websocket", "WebSocket"], ["long-poll", "long poll"], ["poll", "short poll"]], transport, (chosen) => ((transport = chosen), begin()))),
      segments("Shown as", [["events", "Events"], ["frames", "Frames"]], "events", (shown) => {
        log.hidden = shown !== "events";
        wire.element.hidden = shown !== "frames";
      }),
    ),
    log,
    wire.element,
  );

  function begin(): void {
    subscription?.close();
    empty();
    wire.clear();
    paused = false;
    tellPause();
    const own = (subscription = connect(readUrl(selector), {
      ...withToken,
      since,
      transports: transport === "auto" ? ["sse", "long-poll", "poll"] : [transport === "websocket" ? websocket({ WebSocket: tappedSocket(wire.tap) }) : transport],
      interval: 2_000,
      fetch: tapped(wire.tap),
      parse,
    }));
    own.on("state", (entered) => own === subscription && tellState(entered));
    own.on("gap", (gap) => own === subscription && add(gapRow(gap)));
    own.on("*", (event) => own === subscription && add(eventRow(event, selector)));
    tellState(own.state);
  }

  function add(entry: Entry): void {
    fresh.push(entry);
    if (entry.row.classList.contains("gap")) gaps++;
    else told++;
    // Between two pictures there may be more than are ever shown.
    if (fresh.length > 2 * ROWS) fresh = fresh.slice(-ROWS);
    draw();
  }

  const draw = perFrame(() => {
    if (fresh.length > ROWS) fresh = fresh.slice(-ROWS);
    for (const entry of fresh) {
      entry.row.hidden = !passes(entry);
      size += entry.size;
      log.prepend(entry.row);
    }
    entries.push(...fresh);
    fresh = [];
    while (entries.length > ROWS || (size > CHARACTERS && entries.length > 1)) {
      const old = entries.shift()!;
      size -= old.size;
      old.row.remove();
    }
    nothing.remove();
    if (!entries.length) log.append(nothing);
    const words = [`${count(told)} ${told === 1 ? "event" : "events"}`, `${count(gaps)} ${gaps === 1 ? "gap" : "gaps"}`, bytes(wire.total())];
    if (told + gaps > entries.length) words.push(`the newest ${entries.length} shown`);
    write(tally, words.join(" · "));
  });

  function empty(): void {
    for (const { row } of entries) row.remove();
    entries = [];
    fresh = [];
    [size, told, gaps] = [0, 0, 0];
    draw();
  }

  function passes({ text }: Entry): boolean {
    return text.includes(filter.value.trim().toLowerCase());
  }

  function sift(): void {
    for (const entry of entries) entry.row.hidden = !passes(entry);
  }

  function toggle(): void {
    paused = !paused;
    if (paused) subscription?.pause();
    else subscription?.resume();
    tellPause();
  }

  function tellPause(): void {
    write(pause, paused ? "Resume" : "Pause");
    pause.setAttribute("aria-pressed", String(paused));
  }

  function tellState(entered: State): void {
    state.dataset["status"] = entered.status;
    const over = entered.status === "ended" || entered.status === "failed" || entered.status === "closed";
    pause.disabled = over;
    state.replaceChildren(stateWords(entered));
    if (entered.status === "failed") {
      const { status } = entered.error;
      if (status === 401 || status === 403) state.append(" ", h("button", { type: "button", click: () => (forgetDeclined(), askForToken("The hub refuses to let this page read here.")) }, "Give a token"));
      else state.append(" ", h("button", { type: "button", click: begin }, "Try again"));
    }
  }

  async function countReaders(): Promise<void> {
    readers.hidden = true;
    if (selector.includes("*")) return;
    try {
      const url = at("topics");
      url.searchParams.set("match", selector);
      const { topics } = await (await demand(await ask(url))).json();
      const row = topics.find(({ topic }: { topic: string }) => topic === selector);
      readers.hidden = !row;
      if (row) write(readers, `${row.subscribers} reading${row.closed ? ", closed" : ""}`);
    } catch {
      // The list says what is wrong.
    }
  }

  return {
    element,
    show(wanted) {
      clearInterval(watch);
      watch = setInterval(countReaders, SUBSCRIBERS);
      if (wanted === selector && subscription && subscription.state.status !== "failed") {
        if (!paused) subscription.resume();
        return;
      }
      selector = wanted;
      write(title, wanted === "**" ? "Everything" : wanted);
      begin();
      void countReaders();
    },
    hide() {
      clearInterval(watch);
      subscription?.pause();
    },
  };
}

const names: Record<Transport, string> = { websocket: "WebSocket", sse: "Server-Sent Events", "long-poll": "long poll", poll: "short poll" };

function stateWords(state: State): string {
  switch (state.status) {
    case "connecting":
      return `Connecting by ${names[state.transport]}`;
    case "open":
      return `Live by ${names[state.transport]}`;
    case "waiting":
      return `Waiting ${Math.ceil(state.retryIn / 1_000)} s: ${state.error.message}`;
    case "paused":
      return "Paused: the hub keeps what comes";
    case "ended":
      return state.reason ? `Ended: ${state.reason}` : "Ended: the topic is closed";
    case "closed":
      return "Closed";
    case "failed":
      return `Failed: ${state.error.message}`;
  }
}

const SUMMARY = 300;

function eventRow(event: TidingsEvent<Data>, selector: string): Entry {
  const type = event.event ?? "message";
  const data = textOf(event.data);
  const topic = event.topic === selector ? "" : event.topic;
  const row = h(
    "details",
    { class: "event" },
    h(
      "summary",
      {},
      h("time", { datetime: event.time, title: event.time }, clock(event.time)),
      h("span", { class: event.event ? "type" : "type plain" }, type),
      topic ? h("span", { class: "topic" }, topic) : null,
      h("span", { class: "data" }, data.length > SUMMARY ? `${data.slice(0, SUMMARY)}…` : data || "(empty)"),
    ),
  );
  // Most are never opened.
  row.addEventListener("toggle", () => row.append(detail(event)), { once: true });
  return { row, text: `${type}\n${event.topic}\n${data}`.toLowerCase(), size: 2 * data.length + 200 };
}

function detail(event: TidingsEvent<Data>): HTMLElement {
  const form = event.encoding ? "bytes, as base64" : event.data instanceof Json ? "JSON" : "text";
  return h(
    "div",
    { class: "detail" },
    h("dl", {}, ...[["id", event.id], ["topic", event.topic], ["time", event.time], ["form", form]].flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    h("pre", { tabindex: 0, "aria-label": "Data" }, textOf(event.data)),
  );
}

const why = { expired: "retention has discarded what came before", unknown: "the cursor is of another log", ahead: "the cursor is beyond this log's end" };

function gapRow({ reason, since, resumed }: Gap): Entry {
  const text = `gap: ${why[reason] ?? reason}. Asked from ${since}, goes on after ${resumed}`;
  return { row: h("p", { class: "gap" }, text), text: text.toLowerCase(), size: 400 };
}
