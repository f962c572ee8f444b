import { h, s, write } from "./dom.ts";
import { clock, NONE } from "./format.ts";
import type { Moment } from "./history.ts";

/** A line of a plot. */
export interface Line {
  name: string;
  /** The class that gives it its colour. */
  tone: string;
  value: (moment: Moment) => number;
}

export interface Plot {
  element: HTMLElement;
  draw(moments: readonly Moment[], span: number): void;
}

const LEFT = 44;
const TOP = 8;
const BOTTOM = 20;
/** Of the picture, by its width. */
const tall = (width: number): number => (width > 420 ? 204 : 152);

/** Lines over time, with what they are now beside their names, and under the pointer what they were. */
export function plot(title: string, format: (value: number) => string, lines: Line[], { least = 1, filled = false } = {}): Plot {
  const values = lines.map(() => h("output", { class: "value" }, NONE));
  const grid = s("g", { class: "grid" });
  const paths = lines.map(({ tone }) => s("path", { class: `line ${tone}`, fill: "none" }));
  const areas = lines.map(({ tone }) => s("path", { class: `area ${tone}` }));
  const cross = s("line", { class: "cross", y1: TOP, visibility: "hidden" });
  const picture = s("svg", { role: "img", width: "100%", pointermove: point, pointerleave: leave }, grid, ...(filled ? areas : []), ...paths, cross);
  const when = h("span", { class: "when" });
  const none = h("p", { class: "none", hidden: true }, "This hub does not tell it.");
  const element = h(
    "figure",
    { class: "plot" },
    h(
      "figcaption",
      {},
      h("h3", {}, title, " ", when),
      h("ul", { class: "legend" }, ...lines.map(({ name, tone }, i) => h("li", { class: tone }, h("span", { class: "name" }, name), values[i]))),
    ),
    h("div", { class: "picture" }, picture, none),
  );
  let shown: readonly Moment[] = [];
  let from = 0;
  let to = 1;
  let pointer: number | undefined;
  const width = () => Math.max(120, picture.clientWidth || 480);
  const x = (time: number) => LEFT + ((time - from) / (to - from)) * (width() - LEFT - 2);

  function draw(moments: readonly Moment[], span: number): void {
    const height = tall(width());
    picture.setAttribute("height", String(height));
    cross.setAttribute("y2", String(height - BOTTOM));
    to = moments.at(-1)?.time ?? Date.now();
    from = to - span * 1_000;
    const first = moments.findIndex(({ time }) => time >= from);
    shown = first < 0 ? [] : moments.slice(first);
    const most = Math.max(least, ...shown.flatMap((moment) => lines.map(({ value }) => value(moment)).filter(Number.isFinite)));
    const step = nice(most / 3);
    const top = step * Math.max(2, Math.ceil((most * 1.04) / step));
    const y = (value: number) => height - BOTTOM - (value / top) * (height - BOTTOM - TOP);
    grid.replaceChildren();
    for (let value = 0; value <= top + step / 2; value += step) {
      grid.append(
        s("line", { x1: LEFT, x2: width(), y1: y(value), y2: y(value) }),
        s("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, value === 0 ? "0" : format(value)),
      );
    }
    for (const share of [0, 0.5]) {
      const time = from + (to - from) * share;
      grid.append(s("text", { x: x(time), y: height - 4, "text-anchor": share ? "middle" : "start" }, `−${said(span * (1 - share))}`));
    }
    grid.append(s("text", { x: width() - 2, y: height - 4, "text-anchor": "end" }, "now"));
    paths.forEach((path, i) => path.setAttribute("d", trace(shown, lines[i]!.value, x, y)));
    if (filled) areas.forEach((area, i) => area.setAttribute("d", trace(shown, lines[i]!.value, x, y, y(0))));
    tell();
    none.hidden = !moments.length || shown.some((moment) => lines.some(({ value }) => Number.isFinite(value(moment)))) || shown.length < 12;
  }

  /** Says what is under the pointer, or else what is now. */
  function tell(): void {
    const moment = pointer === undefined ? shown.at(-1) : nearest(shown, pointer);
    cross.setAttribute("visibility", pointer === undefined || !moment ? "hidden" : "visible");
    if (moment) {
      cross.setAttribute("x1", String(x(moment.time)));
      cross.setAttribute("x2", String(x(moment.time)));
    }
    write(when, pointer === undefined || !moment ? "" : clock(moment.time).slice(0, 8));
    const said = lines.map(({ name, value }, i) => {
      const text = moment ? format(value(moment)) : NONE;
      write(values[i]!, text);
      return `${name} ${text}`;
    });
    picture.setAttribute("aria-label", `${title}: ${said.join(", ")}`);
  }

  function point(event: PointerEvent): void {
    const at = event.clientX - picture.getBoundingClientRect().left;
    pointer = from + ((at - LEFT) / (width() - LEFT - 2)) * (to - from);
    tell();
  }

  function leave(): void {
    pointer = undefined;
    tell();
  }

  return { element, draw };
}

/** The line of a value; with a ground, what lies between them. */
function trace(moments: readonly Moment[], value: (moment: Moment) => number, x: (time: number) => number, y: (value: number) => number, ground?: number): string {
  let path = "";
  let pen: string | undefined;
  const down = () => (pen && ground !== undefined ? `L${pen} ${ground}Z` : "");
  for (const moment of moments) {
    const at = value(moment);
    if (!Number.isFinite(at)) {
      path += down();
      pen = undefined;
      continue;
    }
    const across = x(moment.time).toFixed(1);
    if (pen) path += `L${across} ${y(at).toFixed(1)}`;
    else path += ground === undefined ? `M${across} ${y(at).toFixed(1)}` : `M${across} ${ground}L${across} ${y(at).toFixed(1)}`;
    pen = across;
  }
  return path + down();
}

/** 1, 2 or 5, and zeros. */
function nice(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return (([1, 2, 5].find((step) => step * power >= value) ?? 10) * power);
}

const said = (seconds: number): string => (seconds < 60 ? `${seconds} s` : `${seconds / 60} min`);

function nearest(moments: readonly Moment[], time: number): Moment | undefined {
  let best: Moment | undefined;
  for (const moment of moments) if (!best || Math.abs(moment.time - time) < Math.abs(best.time - time)) best = moment;
  return best;
}
