/** JSON data as it was published. Reading it, and writing it again, would show other data: large numbers, digits after a point,
 * members of the same name and their order are lost on the way. */
export class Json {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** Data as it is shown: a text, bytes as base64, or JSON. */
export type Data = string | Json;

export const textOf = (data: Data): string => (data instanceof Json ? data.text : data);

/** Reads an event, or a page of them, as `JSON.parse` does, but for data that is JSON. */
export function parse(text: string): any {
  const told = JSON.parse(text);
  const root = members(text, 0);
  const list = root.get("events");
  const events = list ? items(text, list.from).map(({ from }) => members(text, from)) : [root];
  (list ? told.events : [told]).forEach((event: { data?: unknown }, n: number) => {
    const data = events[n]!.get("data");
    if (data && typeof event.data !== "string") event.data = new Json(text.slice(data.from, data.to));
  });
  return told;
}

interface Place {
  from: number;
  to: number;
}

/** Where the members of an object are. The text is JSON: that was seen before. */
function members(text: string, at: number): Map<string, Place> {
  const found = new Map<string, Place>();
  for (let next = past(text, at, "{"); text[next] !== "}"; next = past(text, next, ",")) {
    const end = endOf(text, next);
    const from = past(text, end, ":");
    const to = endOf(text, from);
    found.set(JSON.parse(text.slice(next, end)), { from, to });
    next = past(text, to);
  }
  return found;
}

/** Where the items of an array are. */
function items(text: string, at: number): Place[] {
  const found: Place[] = [];
  for (let from = past(text, at, "["); text[from] !== "]"; from = past(text, from, ",")) {
    const to = endOf(text, from);
    found.push({ from, to });
    from = past(text, to);
  }
  return found;
}

/** Behind blanks, a sign where it is there, and blanks. */
function past(text: string, at: number, sign?: string): number {
  const blanks = () => {
    while (" \t\r\n".includes(text[at] ?? "x")) at++;
  };
  blanks();
  if (sign && text[at] === sign) at++;
  blanks();
  return at;
}

/** Where the value that begins here ends. */
function endOf(text: string, at: number): number {
  let depth = 0;
  do {
    const sign = text[at++]!;
    if (sign === '"') {
      while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
      at++;
    } else if (sign === "{" || sign === "[") depth++;
    else if (sign === "}" || sign === "]") depth--;
    // A number or a word, or what stands between values.
    else while (at < text.length && !'"{[]},: \t\r\n'.includes(text[at]!)) at++;
  } while (depth);
  return at;
}
