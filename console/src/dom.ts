export type Child = Node | string | number | false | null | undefined;
type Props = Record<string, string | number | boolean | undefined | ((event: any) => void)>;

/** Makes an element. Functions among its attributes listen to the event of their name. */
export function h<Tag extends keyof HTMLElementTagNameMap>(tag: Tag, props: Props = {}, ...children: Child[]): HTMLElementTagNameMap[Tag] {
  return dress(document.createElement(tag), props, children);
}

/** Makes an element of SVG. */
export function s<Tag extends keyof SVGElementTagNameMap>(tag: Tag, props: Props = {}, ...children: Child[]): SVGElementTagNameMap[Tag] {
  return dress(document.createElementNS("http://www.w3.org/2000/svg", tag), props, children);
}

function dress<E extends Element>(element: E, props: Props, children: Child[]): E {
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== false && child != null).map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

/** Sets text only where it differs, so that what reads a page aloud does not begin anew. */
export function write(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Calls once for many calls, before the next picture. */
export function perFrame(draw: () => void): () => void {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}

let ids = 0;
/** A label and what it names. */
export function field(label: string, control: HTMLElement, props: Props = {}): HTMLElement {
  control.id ||= `field-${++ids}`;
  return h("div", { ...props, class: `field ${props["class"] ?? ""}`.trim() }, h("label", { for: control.id }, label), control);
}

/** A choice of one among few. */
export function segments<Value extends string>(label: string, options: [Value, string][], chosen: Value, choose: (value: Value) => void): HTMLElement {
  const name = `segments-${++ids}`;
  return h(
    "fieldset",
    { class: "segments" },
    h("legend", { class: "hidden" }, label),
    ...options.map(([value, text]) =>
      h("label", {}, h("input", { type: "radio", name, value, checked: value === chosen, change: () => choose(value) }), h("span", {}, text)),
    ),
  );
}

/** A list to choose from. */
export function select<Value extends string>(options: [Value, string][], chosen: Value, choose: (value: Value) => void): HTMLSelectElement {
  const element = h("select", { change: () => choose(element.value as Value) }, ...options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
  return element;
}
