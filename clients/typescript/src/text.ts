import { connect } from "./connect.ts";
import type { TidingsEvent } from "./event.ts";
import type { ConnectOptions } from "./settings.ts";
import type { State } from "./state.ts";

/** How to read a text. */
export interface TextOptions extends ConnectOptions {
  /** What an event adds to the text; by default its data, where that is text. */
  pick?: (event: TidingsEvent) => string | undefined;
}

/** A text that is being written. */
export interface Text extends AsyncIterable<string> {
  /** The text so far. */
  readonly value: string;
  /** How it stands: `ended` once it is complete, with a `reason` where its writer broke off or was stopped. */
  readonly state: State;
  /** Is told the text so far, whenever there is more of it, and whenever the state changes. The result stops it. */
  on(listener: (text: string, state: State) => void): () => void;
  /** No more is read. */
  close(): void;
}

/** The text that the events of a topic add up to: what there is of it so far at once, and then on as it is written. Whoever iterates
 * slowly is given the newest; the loop ends with the topic, and throws where reading has failed. */
export function text(url: string | URL, { pick, ...options }: TextOptions = {}): Text {
  const add = pick ?? (({ data, encoding }) => (typeof data === "string" && !encoding ? data : ""));
  // A hub that can do so joins what is there already into one event.
  const events = connect(url, { since: "earliest", conflate: "append", ...options });
  const listeners = new Set<(text: string, state: State) => void>();
  let value = "";
  let waiting: (() => void)[] = [];
  const changed = () => {
    for (const listener of [...listeners]) listener(value, events.state);
    for (const resolve of waiting.splice(0)) resolve();
  };
  events.on("*", (event) => {
    const more = add(event);
    if (!more) return;
    value += more;
    changed();
  });
  // What follows a gap begins with the earliest event that there is.
  events.on("gap", () => {
    value = "";
    changed();
  });
  events.on("state", changed);
  return {
    get value() {
      return value;
    },
    get state() {
      return events.state;
    },
    on(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: events.close,
    async *[Symbol.asyncIterator]() {
      try {
        for (let told: string | undefined; ; ) {
          if (value !== told && (value || told)) yield (told = value);
          else if (events.state.status === "failed") throw events.state.error;
          else if (["ended", "closed"].includes(events.state.status)) return;
          else await new Promise<void>((resolve) => waiting.push(resolve));
        }
      } finally {
        events.close();
      }
    },
  };
}
