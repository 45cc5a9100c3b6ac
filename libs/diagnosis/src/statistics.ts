/** Nearest-rank median, the lower one of two: always a value that was really observed. `sorted` is ascending. */
export function medianOfSorted(sorted: ArrayLike<number>): number {
  return sorted[(sorted.length - 1) >> 1] as number;
}

export function median(values: readonly number[]): number {
  return medianOfSorted(Float64Array.from(values).sort());
}

/** 1 / (Φ⁻¹(3/4)): makes a median absolute deviation an estimate of a normal standard deviation. */
const madToSigma = 1.4826;

/**
 * Noise of a series that may hold level shifts: the MAD of its successive differences over √2
 * (a shift spoils one difference only, so half of them may be spoiled before the estimate breaks).
 */
export function noiseOf(values: readonly number[]): number {
  if (values.length < 2) return 0;
  const steps: number[] = [];
  for (let i = 1; i < values.length; i += 1) steps.push(Math.abs((values[i] as number) - (values[i - 1] as number)));
  return (median(steps) * madToSigma) / Math.SQRT2;
}

function placeOf(sorted: readonly number[], value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Medians of the half-open windows `[from(k), to(k))` for k = 0…n-1; both ends must never move back. NaN for an empty one. */
export function slidingMedians(
  values: readonly number[],
  from: (k: number) => number,
  to: (k: number) => number,
): Float64Array {
  const medians = new Float64Array(values.length);
  const window: number[] = [];
  let low = 0;
  let high = 0;
  for (let k = 0; k < values.length; k += 1) {
    for (; high < to(k); high += 1) window.splice(placeOf(window, values[high] as number), 0, values[high] as number);
    for (; low < from(k); low += 1) window.splice(placeOf(window, values[low] as number), 1);
    medians[k] = window.length === 0 ? Number.NaN : medianOfSorted(window);
  }
  return medians;
}

/** Running totals: `sums[j] - sums[i]` is the sum of the values `[i, j)`. */
export function prefixSums(values: readonly number[]): Float64Array {
  const sums = new Float64Array(values.length + 1);
  for (const [i, value] of values.entries()) sums[i + 1] = (sums[i] as number) + value;
  return sums;
}
