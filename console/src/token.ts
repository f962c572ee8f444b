import { field, h, write } from "./dom.ts";

const ITEM = "tidings-token";

let token = sessionStorage.getItem(ITEM) ?? undefined;
let asking: Promise<boolean> | undefined;
const listeners = new Set<() => void>();

/** The token of this tab, which forgets it when it is closed. */
export const current = (): string | undefined => token;

/** Tells of another token. */
export const onToken = (listener: () => void): void => void listeners.add(listener);

/** Asks for a token; `false` where none is given. Who asks while it is open shares the answer. */
export function askForToken(why: string): Promise<boolean> {
  return (asking ??= open(why).finally(() => (asking = undefined)));
}

function open(why: string): Promise<boolean> {
  const input = h("input", { type: "password", autocomplete: "off", spellcheck: "false", "aria-describedby": "token-why" });
  const shown = h("input", { type: "checkbox", change: () => (input.type = shown.checked ? "text" : "password") });
  const problem = h("p", { class: "problem", role: "alert" });
  const dialog = h(
    "dialog",
    { class: "token", "aria-labelledby": "token-title" },
    h(
      "form",
      { submit: give },
      h("h2", { id: "token-title" }, "Token"),
      h("p", { id: "token-why" }, why),
      field("Bearer token", input),
      h("label", { class: "check" }, shown, "Show it"),
      problem,
      h("p", { class: "note" }, "It stays in this tab, and is forgotten when the tab is closed."),
      h(
        "div",
        { class: "buttons" },
        h("button", { type: "submit", class: "primary" }, "Use this token"),
        token ? h("button", { type: "button", click: () => leave(true) }, "Forget the token") : null,
        h("button", { type: "button", click: () => dialog.close() }, "Cancel"),
      ),
    ),
  );
  let given = false;
  function give(event: SubmitEvent): void {
    event.preventDefault();
    const text = input.value.trim().replace(/^bearer\s+/i, "");
    // What a header cannot hold would fail later, and say less.
    if (!/^[\x21-\x7e]+$/.test(text)) return write(problem, "A token is one word of letters, digits and signs.");
    token = text;
    sessionStorage.setItem(ITEM, text);
    leave(false);
  }
  function leave(forget: boolean): void {
    if (forget) {
      token = undefined;
      sessionStorage.removeItem(ITEM);
    }
    given = true;
    dialog.close();
  }
  document.body.append(dialog);
  dialog.showModal();
  input.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(given);
      if (given) listeners.forEach((listener) => listener());
    });
  });
}
