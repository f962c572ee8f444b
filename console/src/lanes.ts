import { h, s } from "./dom.ts";
import type { Result } from "./run.ts";

export interface Lane extends Result {
  name: string;
  tone: string;
}

const LANE = 44;
const TOP = 26;
const LEFT = 8;

/** A run over time: in each lane the requests as bars, and each event as a line from when it was published to when it
 * came. */
export function lanes() {
  const picture = s("svg", { role: "img", width: "100%", "aria-label": "When each event was published and when it came, by transport" });
  const element = h(
    "figure",
    { class: "lanes", hidden: true },
    h(
      "figcaption",
      {},
      h("h3", {}, "When what happened"),
      h("p", { class: "note" }, "A bar is a request. A ring is an event being published, the dot joined to it the same event arriving."),
    ),
    picture,
  );

  function draw(clock: number, published: readonly number[], all: Lane[]): void {
    element.hidden = !published.length;
    if (!published.length) return;
    const width = Math.max(280, picture.clientWidth);
    const end = Math.max(clock, 2_000);
    const x = (time: number) => LEFT + (Math.max(0, time) / end) * (width - 2 * LEFT);
    const height = TOP + all.length * (LANE + 18) + 18;
    picture.setAttribute("height", String(height));
    const parts: SVGElement[] = [];
    const step = [0.5, 1, 2, 5, 10, 20].find((step) => (end / 1_000 / step) * 84 < width) ?? 50;
    for (let second = 0; second * 1_000 <= end; second += step) {
      parts.push(
        s("line", { class: "tick", x1: x(second * 1_000), x2: x(second * 1_000), y1: TOP - 8, y2: height - 18 }),
        s("text", { class: "second", x: x(second * 1_000), y: height - 4, "text-anchor": second ? "middle" : "start" }, `${second} s`),
      );
    }
    all.forEach(({ name, tone, spans, arrivals }, i) => {
      const y = TOP + i * (LANE + 18);
      const middle = y + 8 + LANE / 2;
      const group = s("g", { class: tone }, s("text", { class: "lane", x: LEFT, y: y + 2 }, name));
      for (const { from, to } of spans) {
        const [left, right] = [x(from), x(to ?? clock)];
        group.append(s("rect", { class: "span", x: left, y: y + 8, width: Math.max(1.5, right - left - 1), height: LANE, rx: 3 }));
      }
      arrivals.forEach(({ sent, came }, j) => {
        // Events side by side, so that their lines do not cover each other.
        const at = middle + ((j % 5) - 2) * 7;
        group.append(
          s("line", { class: "flight", x1: x(sent), x2: x(came), y1: at, y2: at }),
          s("circle", { class: "sent", cx: x(sent), cy: at, r: 3 }),
          s("circle", { class: "came", cx: x(came), cy: at, r: 2.6 }),
        );
      });
      parts.push(group);
    });
    picture.replaceChildren(...parts);
  }

  return { element, draw };
}
