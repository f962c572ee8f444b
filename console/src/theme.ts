import { segments } from "./dom.ts";

const ITEM = "tidings-theme";
type Theme = "auto" | "light" | "dark";

/** Light, dark, or as the system has it. */
export function themeSwitch(): HTMLElement {
  const kept = localStorage.getItem(ITEM);
  const theme: Theme = kept === "light" || kept === "dark" ? kept : "auto";
  apply(theme);
  return segments<Theme>("Colours", [["auto", "Auto"], ["light", "Light"], ["dark", "Dark"]], theme, (chosen) => {
    localStorage.setItem(ITEM, chosen);
    apply(chosen);
  });
}

function apply(theme: Theme): void {
  if (theme === "auto") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
}
