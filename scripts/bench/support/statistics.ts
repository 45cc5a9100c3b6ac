/** Of an odd or even number of values, sorted or not. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Linear between neighbours, as numpy and DuckDB's quantile_cont do it. */
export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) throw new RangeError('no values, no quantile');
  const sorted = values.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const below = sorted[Math.floor(at)] as number;
  const above = sorted[Math.ceil(at)] as number;
  return below + (above - below) * (at - Math.floor(at));
}
