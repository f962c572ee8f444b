/** The samples of an answer in Prometheus's text format, by name. */
export type Metrics = Map<string, Sample[]>;

export interface Sample {
  labels: Record<string, string>;
  value: number;
}

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? +(\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

export function parse(text: string): Metrics {
  const metrics: Metrics = new Map();
  for (const line of text.split("\n")) {
    const [, name, labels, value] = LINE.exec(line) ?? [];
    if (!name) continue;
    const sample: Sample = { labels: {}, value: value === "+Inf" ? Infinity : Number(value) };
    for (const [, label, text] of (labels ?? "").matchAll(LABEL)) sample.labels[label!] = text!.replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c));
    const samples = metrics.get(name);
    if (samples) samples.push(sample);
    else metrics.set(name, [sample]);
  }
  return metrics;
}

/** The sum over all labels; not a number where the hub does not tell it. */
export const total = (metrics: Metrics, name: string): number => metrics.get(name)?.reduce((sum, { value }) => sum + value, 0) ?? NaN;

/** The sum for each value of a label. */
export function by(metrics: Metrics, name: string, label: string): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const { labels, value } of metrics.get(name) ?? []) sums[labels[label] ?? ""] = (sums[labels[label] ?? ""] ?? 0) + value;
  return sums;
}

/** How many were at most so much, for each bound of a histogram, over all labels. */
export type Buckets = [bound: number, count: number][];

export function buckets(metrics: Metrics, name: string): Buckets {
  const sums = Object.entries(by(metrics, `${name}_bucket`, "le"));
  return sums.map(([bound, count]): [number, number] => [bound === "+Inf" ? Infinity : Number(bound), count]).sort(([a], [b]) => a - b);
}

/** The value below which a share of what came between two samples of a histogram lies, by lines between the bounds. */
export function quantile(now: Buckets, before: Buckets, share: number): number {
  const past = new Map(before);
  const between = now.map(([bound, count]): [number, number] => [bound, count - (past.get(bound) ?? 0)]);
  const all = between.at(-1)?.[1] ?? 0;
  if (!(all > 0)) return NaN;
  let [low, below] = [0, 0];
  for (const [bound, count] of between) {
    if (count >= share * all) {
      // Nothing is known of those above the last bound.
      if (bound === Infinity) return low;
      return low + ((bound - low) * (share * all - below)) / Math.max(count - below, 1e-9);
    }
    [low, below] = [bound, count];
  }
  return low;
}
