import type { CursorStore } from "./settings.ts";

/** Keeps the cursor as an item of `localStorage`. */
export const localStore = (name: string): CursorStore => ({
  load: () => localStorage.getItem(name),
  save: (cursor) => localStorage.setItem(name, cursor),
});
