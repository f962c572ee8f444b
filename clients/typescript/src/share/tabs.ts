import { TidingsError } from "../error.ts";
import type { Step } from "../event.ts";
import { session, type Sink, type Source } from "../session.ts";
import type { Settings } from "../settings.ts";
import { Span } from "../span.ts";
import type { State } from "../state.ts";
import { keyOf } from "./key.ts";
import { order } from "./order.ts";

/** How long a leader may take to answer before it counts as frozen, and how much longer at random, so that not all
 * tabs take over. */
const PATIENCE = 5_000;
const JITTER = 2_000;
/** How long is rested where the hub does not have yet what the leader told. */
const LAG = 1_000;
/** How many batches, and characters of them, are kept while a tab catches up. */
const BACKLOG = 1_000;
const BACKLOG_SIZE = 4 << 20;

/** What tabs tell each other. */
interface Message {
  /** Asks the leader to say how it stands. */
  ask?: boolean;
  /** The leader asks for its token anew, and so do the others: theirs may be another's by now. */
  anew?: boolean;
  /** Where the leader was before the steps; they are all that there is from there on. */
  from?: string | undefined;
  steps?: Step[];
  state?: State;
  /** The error of the state: a channel takes plain parts only. */
  error?: Pick<TidingsError, "kind" | "message">;
}

const sizeOf = ({ steps }: Message): number => steps!.reduce((sum, { size = 0 }) => sum + size, 0);
const rest = (time: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, time));

/** One of several tabs that share a connection.
 *
 * The leader tells where it was, and what followed. A tab that was there or further on takes what is new to it; one
 * that is behind reads what it missed from the hub by itself. So nobody needs to know what another tab has seen, and
 * it does not matter who leads when. */
export function tab(at: URL, settings: Settings, sink: Sink): Source {
  let cursor: string | undefined;
  let leave = (): void => {};

  /** The token may be known already. */
  async function join(known?: string): Promise<void> {
    const { token } = settings;
    const life = new AbortController();
    const { signal } = life;
    leave = () => life.abort();
    const tokenNow = async () => (typeof token === "function" ? token() : token);
    /** Who never answers is not waited for for ever. */
    const tokenInTime = async () => {
      const span = new Span();
      span.patience = settings.firstByte;
      span.start();
      const late = span.over().then(() => Promise.reject(span.signal.reason));
      return Promise.race([tokenNow(), late]).finally(() => span.abort());
    };
    const read = (settings: Settings, sink: Sink): Source => {
      const source = session(at, settings, sink);
      const close = (): void => {
        signal.removeEventListener("abort", close);
        source.close();
      };
      signal.addEventListener("abort", close);
      source.run(cursor);
      return { ...source, close };
    };
    const rejoin = (token?: string): string | undefined => {
      if (!signal.aborted) {
        leave();
        void join(token);
      }
      return token;
    };
    const deliver = (step: Step): void => {
      if (signal.aborted) return;
      cursor = step.cursor;
      sink.tell(step);
    };

    try {
      // Not to be had everywhere where they exist: a sandboxed frame, for one, is refused them.
      await navigator.locks.query();
    } catch {
      if (!signal.aborted) read(settings, { ...sink, tell: deliver });
      return;
    }
    let key: string;
    try {
      key = await keyOf(at, known ?? (await tokenInTime()), settings.headers);
    } catch {
      // Whose token it is cannot be known. The session tells why, and shares with nobody until it is.
      if (!signal.aborted) read({ ...settings, token: async () => rejoin(await tokenNow()) }, { ...sink, tell: deliver });
      return;
    }
    if (signal.aborted) return;
    const channel = new BroadcastChannel(key);
    let leading = false;
    /** What the leader last told of itself. */
    let last: Message = {};
    /** What came while this tab catches up, or asks for its token. */
    let backlog: Message[] | undefined;
    let held = 0;
    let catchingUp = false;
    /** What there is to tell once this tab has a cursor. */
    let opening: State | undefined;
    let asking = 0;
    let roomy = true;
    let asked = false;
    let timer: ReturnType<typeof setTimeout>;
    let ready: () => void;
    const begun = new Promise<void>((resolve) => (ready = resolve));
    const left = new Promise((resolve) => signal.addEventListener("abort", resolve));

    /** Where a token is somebody else's now, those who shared with the one before must not see what this one may. */
    const guard = async (token?: string) => ((await keyOf(at, token, settings.headers)) === key ? token : rejoin(token));
    const guarded: Settings = { ...settings };
    if (typeof token === "function") {
      guarded.token = async () => {
        if (leading) say({ anew: true });
        return guard(await token());
      };
    }

    function say(message: Message): void {
      if (signal.aborted) return;
      try {
        channel.postMessage(message);
      } catch {
        // What is nested too deep cannot be copied. The others are told where the leader is now, and read it for themselves.
        const { state, error, steps } = message;
        const plain = error && { ...error, problem: undefined };
        channel.postMessage({ state, error: plain, ...(steps && { from: steps.at(-1)?.cursor, steps: [] }) });
      }
      receive(message);
    }

    function receive(message: Message): void {
      if (signal.aborted) return;
      const { ask, anew, state, error, steps } = message;
      if (ask) {
        if (leading) say({ ...last, steps: [] });
        return;
      }
      asked = false;
      watch();
      if (anew) return void verify();
      if (state) tell(error ? ({ ...state, error: Object.assign(new TidingsError(error.kind, ""), error) } as State) : state);
      if (!steps) return;
      if (!backlog) take(message);
      else {
        backlog.push(message);
        held += sizeOf(message);
        // Where the oldest are dropped, the next one shows that something is missing.
        while (backlog[1] && (backlog.length > BACKLOG || held > BACKLOG_SIZE)) held -= sizeOf(backlog.shift()!);
      }
    }

    /** While this tab does not know yet where it begins, it is not open, even if the leader is. */
    function tell(state: State): void {
      opening = undefined;
      if (state.status === "open" && !cursor) opening = state;
      else sink.state(state);
    }

    /** Takes what is new of a batch. Where this tab is behind it, or its consumer is, it catches up. */
    function take(message: Message, caughtUp?: boolean): void {
      const steps = message.steps!;
      const places = [message.from, ...steps.map((step) => step.cursor)];
      // Up to where the batch is in the log that this tab is in: after a gap, it may be another one.
      const first = places.findIndex((place) => order(place, cursor) !== undefined);
      if (first < 0 && caughtUp) return;
      if (first < 0 || order(places[first], cursor)! > 0 || !roomy) {
        backlog = [message];
        held = sizeOf(message);
        void catchUp(caughtUp ? LAG : 0);
        return;
      }
      for (const step of steps.slice(Math.max(first - 1, 0))) {
        if (step.end || !(order(step.cursor, cursor)! <= 0)) deliver(step);
      }
      roomy = false;
      void sink.room().then(() => (roomy = true));
    }

    /** Takes what came meanwhile. */
    function drain(caughtUp?: boolean): void {
      if (signal.aborted || catchingUp || asking || !backlog) return;
      const waiting = backlog;
      backlog = undefined;
      held = 0;
      for (const message of waiting) {
        if (backlog) {
          (backlog as Message[]).push(message);
          held += sizeOf(message);
        } else take(message, caughtUp);
      }
    }

    /** Asks for a token as a connection of this tab's own would, before it takes what the leader's brings. */
    async function verify(): Promise<void> {
      if (leading || typeof token !== "function") return;
      backlog ??= [];
      asking++;
      try {
        await guard(await tokenInTime());
      } catch {
        rejoin();
      }
      asking--;
      drain();
    }

    async function catchUp(after: number): Promise<void> {
      backlog ??= [];
      catchingUp = true;
      await rest(after);
      await sink.room();
      if (signal.aborted) return;
      const reader = read(
        { ...guarded, transports: ["poll"], interval: LAG },
        {
          tell(step) {
            deliver(step);
            if (step.more !== false || signal.aborted) return;
            reader.close();
            ready();
            catchingUp = false;
            if (opening) tell(opening);
            drain(true);
          },
          state(state) {
            if (state.status === "waiting" || state.status === "failed") sink.state(state);
          },
          room: sink.room,
        },
      );
    }

    /** Leads where it can, for as long as it can. `false` where it never could. */
    async function hold(options: LockOptions): Promise<boolean> {
      let leader: Source | undefined;
      let led = false;
      await navigator.locks
        .request(key, options, async () => {
          leading = led = true;
          await Promise.race([begun, left]);
          if (signal.aborted) return;
          let batch: Step[] | undefined;
          last = { from: cursor };
          say({ ...last, steps: [] });
          leader = read(guarded, {
            tell(step) {
              if (!batch) {
                const message = { from: last.from, steps: (batch = [] as Step[]) };
                queueMicrotask(() => {
                  batch = undefined;
                  say(message);
                });
              }
              batch.push(step);
              last.from = step.cursor;
            },
            state(state) {
              // The next leader may do better, with its own token.
              if (state.status === "failed") return sink.state(state);
              if (state.status === "waiting") {
                const { error, ...rest } = state;
                const { kind, message, status, problem } = error;
                last = { from: last.from, state: rest as State, error: { kind, message, status, problem } as TidingsError };
              } else last = { from: last.from, state };
              say({ ...last });
            },
            // A tab that is slow must not hold up the others.
            async room() {},
          });
          await left;
        })
        // Another tab took over, as this one was frozen; or it left.
        .catch(() => {});
      leading = false;
      leader?.close();
      return led;
    }

    /** Asks a leader that is not heard of for how it stands, and takes over where there is no answer. */
    function watch(): void {
      clearTimeout(timer);
      timer = setTimeout(
        () => {
          if (!leading) {
            if (asked) void hold({ steal: true });
            else say({ ask: true });
            asked = !asked;
          }
          watch();
        },
        asked ? PATIENCE + Math.random() * JITTER : settings.heartbeat,
      );
    }

    channel.onmessage = ({ data }) => receive(data);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      channel.close();
    });
    void catchUp(0);
    say({ ask: (asked = true) });
    watch();
    while (!signal.aborted) (await hold({ signal })) || (await rest(LAG));
  }

  return {
    run(from) {
      cursor = from;
      void join();
    },
    pause(pause) {
      if (pause) leave();
      else void join();
    },
    close() {
      leave();
    },
  };
}
