/** How a cursor stands to another of the same log: negative before it, positive after it. Nothing where they are of
 * different logs. Sequence numbers have up to 20 digits, more than a number can hold. */
export function order(a = "", b = ""): number | undefined {
  const [log, at = ""] = a.split("-");
  const [other, to = ""] = b.split("-");
  if (log !== other) return;
  return at.length - to.length || (at < to ? -1 : +(at > to));
}
