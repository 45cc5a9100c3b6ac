/**
 * Latency as an OpenTelemetry exponential histogram at a fixed scale (data model: "ExponentialHistogram"):
 * bucket i covers (base^i, base^(i+1)] with base = 2^(1/32), so any percentile is within ±1.09 % of the true value.
 * Merging adds counts and loses nothing. Values are nanoseconds.
 */
export const histogramScale = 5;
const bucketsPerDoubling = 2 ** histogramScale;

export interface Histogram {
  /** Observations of exactly 0 ns. */
  zeroCount: number;
  /** Sum of all observations, ns. */
  sum: number;
  /** Smallest and largest observation, ns; 0 when empty. */
  min: number;
  max: number;
  /** Bucket indexes, ascending, and the count in each; same length. */
  buckets: number[];
  counts: number[];
}

export function emptyHistogram(): Histogram {
  return { zeroCount: 0, sum: 0, min: 0, max: 0, buckets: [], counts: [] };
}

export function bucketOf(valueNs: number): number {
  return Math.ceil(Math.log2(valueNs) * bucketsPerDoubling) - 1;
}

export function countOf(histogram: Histogram): number {
  return histogram.counts.reduce((sum, n) => sum + n, histogram.zeroCount);
}

/** Adds one observation. Negative values (a clock that stepped back inside a span) count as 0. */
export function recordValue(into: Histogram, valueNs: number, times = 1): void {
  const value = Math.max(0, valueNs);
  const wasEmpty = countOf(into) === 0;
  into.min = wasEmpty ? value : Math.min(into.min, value);
  into.max = wasEmpty ? value : Math.max(into.max, value);
  into.sum += value * times;
  if (value === 0) {
    into.zeroCount += times;
    return;
  }
  addToBucket(into, bucketOf(value), times);
}

function addToBucket(into: Histogram, bucket: number, times: number): void {
  let low = 0;
  let high = into.buckets.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((into.buckets[middle] as number) < bucket) low = middle + 1;
    else high = middle;
  }
  if (into.buckets[low] === bucket) {
    into.counts[low] = (into.counts[low] as number) + times;
    return;
  }
  into.buckets.splice(low, 0, bucket);
  into.counts.splice(low, 0, times);
}

export function mergeHistograms(all: Iterable<Histogram>): Histogram {
  const sum = emptyHistogram();
  const counts = new Map<number, number>();
  let seen = false;
  for (const one of all) {
    if (countOf(one) === 0) continue;
    sum.min = seen ? Math.min(sum.min, one.min) : one.min;
    sum.max = seen ? Math.max(sum.max, one.max) : one.max;
    seen = true;
    sum.sum += one.sum;
    sum.zeroCount += one.zeroCount;
    one.buckets.forEach((bucket, i) => counts.set(bucket, (counts.get(bucket) ?? 0) + (one.counts[i] as number)));
  }
  sum.buckets = [...counts.keys()].sort((a, b) => a - b);
  sum.counts = sum.buckets.map((bucket) => counts.get(bucket) as number);
  return sum;
}

/** How many observations were certainly larger: those in buckets that lie wholly above the value. */
export function countAbove(histogram: Histogram, valueNs: number): number {
  const bucket = valueNs > 0 ? bucketOf(valueNs) : Number.NEGATIVE_INFINITY;
  return histogram.counts.reduce((sum, n, i) => ((histogram.buckets[i] as number) > bucket ? sum + n : sum), 0);
}

/** Nearest-rank percentile in ns (p in 0..1): the geometric middle of its bucket, clamped to what was really seen. */
export function percentile(histogram: Histogram, p: number): number | null {
  const total = countOf(histogram);
  if (total === 0) return null;
  const rank = Math.min(total, Math.max(1, Math.ceil(p * total)));
  let passed = histogram.zeroCount;
  if (rank <= passed) return 0;
  for (const [i, bucket] of histogram.buckets.entries()) {
    passed += histogram.counts[i] as number;
    if (rank <= passed) {
      const middle = 2 ** ((bucket + 0.5) / bucketsPerDoubling);
      return Math.min(histogram.max, Math.max(histogram.min, middle));
    }
  }
  return histogram.max;
}
