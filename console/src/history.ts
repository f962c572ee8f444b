import { ask, demand, Refused, wordsOf } from "./hub.ts";
import { at } from "./hub.ts";
import { type Buckets, buckets, by, type Metrics, parse, quantile, total } from "./metrics.ts";
import { onToken } from "./token.ts";

/** How the hub stood at a moment. What it does not tell is not a number. */
export interface Moment {
  /** By the page's clock. */
  time: number;
  /** Events a second. */
  published: number;
  delivered: number;
  /** Bytes a second. */
  publishedBytes: number;
  deliveredBytes: number;
  subscribers: Record<string, number>;
  /** Milliseconds. */
  deliveryMedian: number;
  deliveryP99: number;
  publishMedian: number;
}

/** Whether the metrics can be had. */
export type Reach = { status: "reading" } | { status: "away"; why: string } | { status: "refused"; why: string };

const INTERVAL = 1_000;
/** Half an hour. */
const KEPT = 1_800;
/** Latencies are those of so many of the last samples: in a second alone there may be too few of them. */
const SPAN = 10;

interface Taken {
  time: number;
  metrics: Metrics;
  delivery: Buckets;
  publish: Buckets;
}

const taken: Taken[] = [];
export const moments: Moment[] = [];
export let latest: Metrics = new Map();
export let reach: Reach = { status: "reading" };
const listeners = new Set<() => void>();

/** Tells of each new moment. */
export const onMoment = (listener: () => void): void => void listeners.add(listener);

/** Reads the metrics for as long as the page is open. */
export async function keep(): Promise<void> {
  let woken = () => {};
  onToken(() => woken());
  for (;;) {
    try {
      const response = await demand(await ask(at("metrics"), { headers: { Accept: "text/plain" } }));
      note(parse(await response.text()));
      reach = { status: "reading" };
    } catch (error) {
      const refused = error instanceof Refused && error.status < 500;
      reach = { status: refused ? "refused" : "away", why: wordsOf(error) };
      // A line is not drawn over what is not known.
      if (taken.length) push({ time: Date.now(), published: NaN, delivered: NaN, publishedBytes: NaN, deliveredBytes: NaN, subscribers: {}, deliveryMedian: NaN, deliveryP99: NaN, publishMedian: NaN });
      taken.length = 0;
    }
    listeners.forEach((listener) => listener());
    await new Promise<void>((resolve) => {
      woken = resolve;
      setTimeout(resolve, reach.status === "refused" ? INTERVAL * 10 : INTERVAL);
    });
  }
}

function note(metrics: Metrics): void {
  const time = Date.now();
  const delivery = buckets(metrics, "tidings_delivery_seconds");
  const publish = buckets(metrics, "tidings_publish_seconds");
  const before = taken.at(-1);
  // A hub that was started again counts from nothing.
  if (before && total(metrics, "tidings_published_events_total") < total(before.metrics, "tidings_published_events_total")) taken.length = 0;
  const last = taken.at(-1);
  if (last) {
    const rate = (name: string) => ((total(metrics, name) - total(last.metrics, name)) / (time - last.time)) * 1_000;
    const first = taken[0]!;
    push({
      time,
      published: rate("tidings_published_events_total"),
      delivered: rate("tidings_delivered_events_total"),
      publishedBytes: rate("tidings_published_bytes_total"),
      deliveredBytes: rate("tidings_delivered_bytes_total"),
      subscribers: by(metrics, "tidings_subscribers", "transport"),
      deliveryMedian: quantile(delivery, first.delivery, 0.5) * 1_000,
      deliveryP99: quantile(delivery, first.delivery, 0.99) * 1_000,
      publishMedian: quantile(publish, first.publish, 0.5) * 1_000,
    });
  }
  taken.push({ time, metrics, delivery, publish });
  if (taken.length > SPAN) taken.shift();
  latest = metrics;
}

function push(moment: Moment): void {
  moments.push(moment);
  if (moments.length > KEPT) moments.shift();
}
