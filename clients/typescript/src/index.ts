export { connect } from "./connect.ts";
export { type ErrorKind, type Problem, TidingsError } from "./error.ts";
export type { Gap, TidingsEvent } from "./event.ts";
export type { Transport } from "./ladder.ts";
export { type Published, publish, type PublishOptions } from "./publish.ts";
export type { RequestOptions } from "./request.ts";
export type { ConnectOptions, CursorStore } from "./settings.ts";
export type { State } from "./state.ts";
export type { AnyEvent, Subscription } from "./subscription.ts";
