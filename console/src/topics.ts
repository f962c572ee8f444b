import { field, h, write } from "./dom.ts";
import { ago } from "./format.ts";
import { follow } from "./follow.ts";
import { ask, at, demand, wordsOf } from "./hub.ts";
import { publisher } from "./publisher.ts";
import type { View } from "./view.ts";

interface Row {
  topic: string;
  latest: string;
  time: string;
  closed: boolean;
  subscribers: number;
}

const PAGE = 100;
/** Words are looked for in so many topics at a time. */
const SEARCHED = 1_000;
const MOST_SHOWN = 1_000;
const REFRESH = 5_000;

/** The topics, and beside them what is published to one. */
export function topics(): View {
  let rows: Row[] = [];
  let more = false;
  let looked = 0;
  let wanted = PAGE;
  let selected = "";
  let run: AbortController | undefined;

  const input = h("input", { type: "search", placeholder: "a word, or a selector like orders/*", autocomplete: "off", spellcheck: "false", input: () => ((wanted = PAGE), restart()) });
  const list = h("ul", { class: "rows" });
  const found = h("p", { class: "note", role: "status" });
  const further = h("button", { type: "button", hidden: true, click: () => ((wanted += PAGE), restart()) }, "Show more");
  const pane = h("div", { class: "pane" });
  const followed = follow();
  const publishing = publisher(() => restart());
  const back = h("a", { class: "back", href: "#topics" }, "All topics");
  pane.append(back, followed.element, publishing.element);

  const element = h(
    "section",
    { class: "topics", "aria-labelledby": "topics-title" },
    h(
      "div",
      { class: "list" },
      h("h2", { id: "topics-title" }, "Topics"),
      h("form", { role: "search", submit: (event: Event) => (event.preventDefault(), followTyped()) }, field("Search", input)),
      found,
      list,
      further,
    ),
    pane,
  );

  function followTyped(): void {
    const text = input.value.trim();
    if (text) location.hash = `topics/${encodeURIComponent(text)}`;
  }

  function restart(): void {
    run?.abort();
    run = new AbortController();
    void refresh(run.signal);
  }

  async function refresh(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await search(input.value.trim(), signal);
        if (!signal.aborted) show();
      } catch (error) {
        if (signal.aborted) return;
        write(found, `The topics cannot be listed: ${wordsOf(error)}.`);
      }
      await new Promise((resolve) => setTimeout(resolve, REFRESH));
      while (document.hidden && !signal.aborted) await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
    }
  }

  /** A selector is the hub's to match; any other word is looked for in the names, page by page. */
  async function search(text: string, signal: AbortSignal): Promise<void> {
    const pattern = text.includes("*");
    const word = pattern ? "" : text.toLowerCase();
    const hits: Row[] = [];
    let after = "";
    let seen = 0;
    let rest = true;
    while (rest && hits.length < wanted && seen < 10 * SEARCHED) {
      const url = at("topics");
      url.searchParams.set("limit", String(word ? SEARCHED : wanted - hits.length));
      if (pattern) url.searchParams.set("match", text);
      if (after) url.searchParams.set("after", after);
      const { topics, more } = await (await demand(await ask(url, { signal }))).json();
      hits.push(...topics.filter(({ topic }: Row) => topic.toLowerCase().includes(word)));
      seen += topics.length;
      after = topics.at(-1)?.topic;
      rest = more && !!after;
    }
    [rows, more, looked] = [hits, rest, seen];
  }

  function show(): void {
    const word = input.value.trim();
    const held = document.activeElement?.closest("li")?.dataset["topic"];
    list.replaceChildren(...rows.slice(0, MOST_SHOWN).map(row));
    if (held !== undefined) [...list.children].find((item) => (item as HTMLElement).dataset["topic"] === held)?.querySelector("a")?.focus();
    further.hidden = !more || rows.length >= MOST_SHOWN;
    const counted = `${rows.length}${more ? "+" : ""} ${rows.length === 1 ? "topic" : "topics"}`;
    if (rows.length) write(found, word && !word.includes("*") && more ? `${counted} among the first ${looked}` : counted);
    else write(found, word ? `No topic ${word.includes("*") ? "matches" : "has this in its name"}. Enter follows it all the same.` : "Nothing was published yet. Publish the first event: a topic needs no creation.");
  }

  function row({ topic, time, closed, subscribers }: Row): HTMLElement {
    return h(
      "li",
      { "data-topic": topic },
      h(
        "a",
        { href: `#topics/${encodeURIComponent(topic)}`, "aria-current": topic === selected ? "true" : undefined },
        h("span", { class: "topic" }, topic),
        h("span", { class: "meta" }, closed ? h("span", {}, "closed") : null, subscribers ? h("span", { class: "reading" }, `${subscribers} reading`) : null, h("span", { class: "age" }, `${ago(time)} ago`)),
      ),
    );
  }

  return {
    element,
    title: "Topics",
    show(rest) {
      const moved = rest !== selected;
      selected = rest;
      element.classList.toggle("chosen", !!rest);
      back.hidden = !rest;
      followed.show(rest || "**");
      publishing.suggest(rest.includes("*") ? "" : rest);
      if (moved) for (const link of list.querySelectorAll("a")) (link.parentElement!.dataset["topic"] === rest ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current"));
      restart();
    },
    hide() {
      run?.abort();
      followed.hide();
    },
  };
}
