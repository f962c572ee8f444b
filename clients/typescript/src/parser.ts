/** What stands between two empty lines of an event stream. */
export interface Block {
  id?: string;
  event?: string;
  data?: string;
  /** The last one. */
  comment?: string;
}

/** Parses a stream of events as the HTML standard says, which has come piece by piece and decoded. What is incomplete in the end is
 * dropped. */
export class Parser {
  /** What a `retry:` says, in milliseconds; it counts at once. */
  #onRetry: (time: number) => void;
  #onBlock: (block: Block) => void;
  /** A line that has no end yet. */
  #line = "";
  /** Whether the last piece ended with a carriage return: then a line feed at the start of this one ends nothing. */
  #returned = false;
  #block: Block = {};

  constructor(onRetry: (time: number) => void, onBlock: (block: Block) => void) {
    this.#onRetry = onRetry;
    this.#onBlock = onBlock;
  }

  feed(piece: string): void {
    if (!piece) return;
    const lines = piece.split(/\r\n?|\n/);
    if (this.#returned && piece[0] === "\n") lines.shift();
    this.#returned = piece.endsWith("\r");
    lines[0] = this.#line + lines[0];
    this.#line = lines.pop()!;
    for (const line of lines) this.#read(line);
  }

  #read(line: string): void {
    const block = this.#block;
    if (!line) {
      this.#block = {};
      return this.#onBlock(block);
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (field === "data") block.data = block.data === undefined ? value : `${block.data}\n${value}`;
    else if (field === "event") block.event = value;
    else if (field === "id" && !value.includes("\0")) block.id = value;
    else if (!field) block.comment = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.#onRetry(+value);
  }
}
