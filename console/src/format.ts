const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** What stands where there is no number. */
export const NONE = "–";

export const count = (value: number): string => (Number.isFinite(value) ? whole.format(Math.round(value)) : NONE);

/** A number that may be small, in three figures or so. */
export function amount(value: number): string {
  if (!Number.isFinite(value)) return NONE;
  if (value >= 100_000) return short.format(value);
  if (value >= 100 || Number.isInteger(value)) return whole.format(Math.round(value));
  return value.toFixed(value >= 10 ? 1 : 2);
}

/** Milliseconds. */
export function duration(value: number): string {
  if (!Number.isFinite(value)) return NONE;
  if (value < 1) return `${Math.round(value * 1_000)} µs`;
  if (value < 10) return `${value.toFixed(1)} ms`;
  if (value < 1_000) return `${Math.round(value)} ms`;
  return `${(value / 1_000).toFixed(2)} s`;
}

export function bytes(value: number): string {
  if (!Number.isFinite(value)) return NONE;
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (value < 1_000) return `${value < 10 && unit !== "B" ? value.toFixed(1) : Math.round(value)} ${unit}`;
    value /= 1_000;
  }
  return `${amount(value)} TB`;
}

/** The time of day, to the millisecond, by the reader's clock. */
export function clock(time: string | number): string {
  const date = new Date(time);
  const two = (part: number) => String(part).padStart(2, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** How long ago. */
export function ago(time: string, now = Date.now()): string {
  const seconds = Math.max(0, (now - Date.parse(time)) / 1_000);
  if (!Number.isFinite(seconds)) return NONE;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3_600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** The value below which a share of the values lies. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;
}
