import type { Step } from "../event.ts";
import type { Settings } from "../settings.ts";
import type { Span } from "../span.ts";

/** What one attempt by a transport has of its session. */
export interface Attempt {
  settings: Settings;
  span: Span;
  /** Asks the hub from the cursor on. */
  ask(accept: string, parameters: Record<string, string | number>): Promise<Response>;
  /** The hub answers. */
  opened(): void;
  succeeded(): void;
  tell(step: Step): void;
  retry(base: number): void;
  /** Resolves once the consumer has room for more. */
  room(): Promise<void>;
}
