import type { Step } from "../event.ts";
import type { Settings } from "../settings.ts";
import type { Span } from "../span.ts";

/** What one attempt by a transport has of its session. */
export interface Attempt {
  settings: Settings;
  span: Span;
  /** Asks the hub from the cursor on for an answer of this type. There is none where the topic has ended. */
  ask(type: string, parameters: Record<string, string>): Promise<Response | undefined>;
  /** The hub answers, and the transport has shown that it works. */
  heard(works: boolean): void;
  tell(step: Step): void;
  retry(base: number): void;
  /** Resolves once the consumer has room for more. */
  room(): Promise<void>;
}
