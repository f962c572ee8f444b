import type { Step } from "../event.ts";
import type { ErrorKind } from "../error.ts";
import type { Settings } from "../settings.ts";

/** What one attempt by a transport has of its session. */
export interface Attempt {
  readonly settings: Settings;
  readonly signal: AbortSignal;
  /** Whether something else is tried where a stream does not begin. */
  readonly mayFall: boolean;
  /** Where to ask, from the cursor on. */
  url(): URL;
  send(url: URL, accept: string): Promise<Response>;
  /** Ends the attempt with an error of this kind unless called again within `patience`. */
  expect(patience: number, kind: ErrorKind): void;
  /** The hub answers. */
  opened(): void;
  succeeded(): void;
  tell(step: Step): void;
  retry(base: number): void;
  /** Resolves once the consumer has room for more. */
  room(): Promise<void>;
}
