import { h, write } from "./dom.ts";
import { keep, onMoment, reach } from "./history.ts";
import { at, forgetDeclined } from "./hub.ts";
import { overview } from "./overview.ts";
import { comparison } from "./comparison.ts";
import { themeSwitch } from "./theme.ts";
import { askForToken, current, onToken } from "./token.ts";
import { topics } from "./topics.ts";
import type { View } from "./view.ts";

const views: Record<string, View> = { overview: overview(), topics: topics(), transports: comparison() };
const links = Object.entries(views).map(([name, { title }]) => h("a", { href: `#${name}` }, title));
const pulse = h("span", { class: "pulse", role: "status" }, "connecting");
const token = h("button", { type: "button", class: "quiet", click: () => (forgetDeclined(), askForToken("The token that this page shows the hub.")) });
const main = h("main", { id: "main", tabindex: -1 }, ...Object.values(views).map(({ element }) => element));

document.body.append(
  h("a", { class: "skip", href: "#main", click: skip }, "Skip to the content"),
  h(
    "header",
    { class: "head" },
    h("h1", {}, h("img", { src: at("console.svg").href, alt: "", width: 24, height: 24 }), "Tidings"),
    h("nav", { "aria-label": "Views" }, ...links),
    h("p", { class: "where" }, h("span", { class: "host" }, location.host), pulse),
    h("div", { class: "tools" }, token, themeSwitch()),
  ),
  main,
);

function skip(event: Event): void {
  event.preventDefault();
  main.focus();
}

let shown: View | undefined;
function route(): void {
  const [, name = "", rest = ""] = /^#?([^/]*)\/?(.*)$/s.exec(location.hash) ?? [];
  const view = views[name] ?? views["overview"]!;
  for (const other of Object.values(views)) other.element.hidden = other !== view;
  Object.keys(views).forEach((name, i) => (views[name] === view ? links[i]!.setAttribute("aria-current", "page") : links[i]!.removeAttribute("aria-current")));
  document.title = `${view.title} · Tidings`;
  if (shown !== view) shown?.hide();
  view.show(safeDecode(rest));
  shown = view;
}

function safeDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function tellToken(): void {
  write(token, current() ? "Token set" : "Token");
}

onMoment(() => {
  const words = { reading: "live", away: "away", refused: "no metrics" }[reach.status];
  write(pulse, words);
  pulse.dataset["status"] = reach.status;
});
onToken(() => {
  forgetDeclined();
  tellToken();
  // What was refused may be allowed now.
  shown?.hide();
  route();
});
addEventListener("hashchange", route);
tellToken();
route();
void keep();
