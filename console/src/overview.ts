import { h, perFrame, segments, write } from "./dom.ts";
import { amount, bytes, count, duration, NONE } from "./format.ts";
import { latest, type Moment, moments, onMoment, reach } from "./history.ts";
import { forgetDeclined } from "./hub.ts";
import { by, total } from "./metrics.ts";
import { plot } from "./plot.ts";
import { askForToken } from "./token.ts";
import { TRANSPORTS } from "./transports.ts";
import type { View } from "./view.ts";

const sum = (counts: Record<string, number>): number => Object.values(counts).reduce((all, one) => all + one, 0);
const isShown = (time: number): boolean => Number.isFinite(time);

/** The hub as a whole. */
export function overview(): View {
  let span = 60;
  const plots = [
    plot("Events a second", amount, [
      { name: "in", tone: "in", value: (moment) => moment.published },
      { name: "out", tone: "out", value: (moment) => moment.delivered },
    ], { filled: true }),
    plot("Delivery", duration, [
      { name: "median", tone: "out", value: (moment) => moment.deliveryMedian },
      { name: "99 of 100", tone: "p99", value: (moment) => moment.deliveryP99 },
      { name: "publish", tone: "in", value: (moment) => moment.publishMedian },
    ]),
    plot(
      "Subscribers",
      amount,
      TRANSPORTS.filter(([transport]) => transport !== "poll").map(([transport, name]) => ({ name, tone: transport, value: ({ subscribers }: Moment) => subscribers[transport] ?? NaN })),
      { least: 3 },
    ),
    plot(
      "Bytes a second",
      bytes,
      [
        { name: "in", tone: "in", value: (moment) => moment.publishedBytes },
        { name: "out", tone: "out", value: (moment) => moment.deliveredBytes },
      ],
      { least: 100, filled: true },
    ),
  ];

  const figures: [string, () => string, () => string][] = [
    ["Events in", () => amount(now("published")), () => `a second, ${count(total(latest, "tidings_published_events_total"))} in all`],
    ["Events out", () => amount(now("delivered")), () => `a second, ${count(total(latest, "tidings_delivered_events_total"))} in all`],
    ["Subscribers", () => count(moments.at(-1) ? sum(moments.at(-1)!.subscribers) : NaN), () => `on ${count(total(latest, "tidings_connections"))} connections`],
    ["Delivery", () => duration(now("deliveryMedian")), () => (isShown(now("deliveryP99")) ? `median; 99 of 100 within ${duration(now("deliveryP99"))}` : "no event was delivered just now")],
    ["Gaps told", () => count(total(latest, "tidings_gaps_total") || (latest.size ? 0 : NaN)), () => reasons()],
  ];
  const shown = figures.map(() => [h("dd", { class: "figure" }, NONE), h("dd", { class: "note" })] as const);

  const facts: [string, () => string][] = [
    ["Log", () => `${count(total(latest, "tidings_log_earliest"))} to ${count(total(latest, "tidings_log_latest"))}`],
    ["Takes writes", () => ({ 1: "yes", 0: "no" })[total(latest, "tidings_log_writable")] ?? NONE],
    ["Connections taken", () => count(total(latest, "tidings_accepted_connections_total"))],
    ["Reconnects", () => count(total(latest, "tidings_reconnects_total"))],
    ["Closed for slowness", () => count(total(latest, "tidings_slow_closes_total"))],
    ["Refused requests", () => count(total(latest, "tidings_refusals_total") || (latest.has("tidings_responses_total") ? 0 : NaN))],
  ];
  const told = facts.map(() => h("dd", {}, NONE));

  const problem = h("p", { class: "notice", role: "status", hidden: true });
  const element = h(
    "section",
    { class: "overview", "aria-labelledby": "overview-title" },
    h("div", { class: "bar" }, h("h2", { id: "overview-title" }, "Overview"), segments("Time shown", [["60", "1 min"], ["300", "5 min"], ["1800", "30 min"]], "60", (value) => { span = Number(value); draw(); })),
    problem,
    h("dl", { class: "figures" }, ...figures.map(([name], i) => h("div", {}, h("dt", {}, name), ...shown[i]!))),
    h("div", { class: "plots" }, ...plots.map(({ element }) => element)),
    h("dl", { class: "facts" }, ...facts.map(([name], i) => h("div", {}, h("dt", {}, name), told[i]))),
  );

  const draw = perFrame(() => {
    if (element.hidden || !element.isConnected) return;
    figures.forEach(([, figure, note], i) => {
      write(shown[i]![0], figure());
      write(shown[i]![1], note());
    });
    facts.forEach(([, fact], i) => write(told[i]!, fact()));
    plots.forEach((plot) => plot.draw(moments, span));
    problem.hidden = reach.status === "reading";
    if (reach.status === "refused" && !problem.querySelector("button")) {
      problem.replaceChildren(
        h("span", {}, `The numbers of the hub cannot be read: ${reach.why}. The topics may still be open to you. `),
        h("button", { type: "button", click: () => (forgetDeclined(), askForToken("The metrics need a token that covers them.")) }, "Another token"),
      );
    } else if (reach.status === "away") write(problem, `The numbers of the hub cannot be read now: ${reach.why}. They are asked for again every second.`);
  });
  onMoment(draw);
  new ResizeObserver(draw).observe(element);

  return { element, title: "Overview", show: draw, hide() {} };
}

const now = (name: "published" | "delivered" | "deliveryMedian" | "deliveryP99"): number => moments.at(-1)?.[name] ?? NaN;

function reasons(): string {
  const all = Object.entries(by(latest, "tidings_gaps_total", "reason")).filter(([, times]) => times);
  return all.length ? all.map(([reason, times]) => `${count(times)} ${reason}`).join(", ") : "nobody has missed anything";
}
