import { h, perFrame } from "./dom.ts";
import type { Tap } from "./wire.ts";

export interface Frames {
  element: HTMLElement;
  tap: Tap;
  /** Bytes of bodies so far. */
  total(): number;
  clear(): void;
}

const PIECES = 400;
const CHARACTERS = 1 << 20;
/** A larger piece is cut in what is shown. */
const PIECE = 64 << 10;

/** What comes over the wire, as it comes. */
export function frames(): Frames {
  let sum = 0;
  let size = 0;
  let fresh: HTMLElement[] = [];
  /** Whether the end is in view, and so stays there. What is hidden does not scroll. */
  let stays = true;
  const element = h("div", { class: "frames", role: "region", "aria-label": "Frames on the wire", tabindex: 0, scroll });
  function scroll(): void {
    stays = element.scrollTop + element.clientHeight >= element.scrollHeight - 40;
  }

  const draw = perFrame(() => {
    element.append(...fresh.slice(-PIECES));
    fresh = [];
    while (element.childElementCount > PIECES || (size > CHARACTERS && element.childElementCount > 1)) {
      size -= element.firstElementChild!.textContent.length;
      element.firstElementChild!.remove();
    }
    if (stays) element.scrollTop = element.scrollHeight;
  });

  function put(kind: string, text: string): void {
    if (text.length > PIECE) text = `${text.slice(0, PIECE)}\n… ${text.length - PIECE} characters more`;
    size += text.length;
    fresh.push(h("pre", { class: kind }, text));
    if (fresh.length > 2 * PIECES) fresh = fresh.slice(-PIECES);
    draw();
  }

  return {
    element,
    total: () => sum,
    tap: {
      request(url) {
        const isSocket = url.protocol.startsWith("ws");
        put("asked", `GET ${url.pathname}${url.search}${isSocket ? "\nUpgrade: websocket" : ""}`);
        const decoder = new TextDecoder();
        return {
          head(response) {
            put("head", `${response.status} ${response.headers.get("content-type") ?? ""}`);
          },
          opened() {
            put("head", "101 Switching Protocols");
          },
          sent(text) {
            // It is nobody's business but the hub's.
            put("asked", text.startsWith('{"token"') ? '{"token": …}' : text);
          },
          bytes(bytes) {
            sum += bytes.length;
            put("body", decoder.decode(bytes, { stream: !isSocket }));
          },
        };
      },
    },
    clear() {
      [sum, size, fresh] = [0, 0, []];
      element.replaceChildren();
    },
  };
}
