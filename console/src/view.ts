/** One of the page's views. Only the one that is shown keeps connections open: over HTTP/1.1, browsers allow six. */
export interface View {
  element: HTMLElement;
  title: string;
  /** `rest` is what the address says beyond the view's name. */
  show(rest: string): void;
  hide(): void;
}
