import type { Histogram } from '@coral/model';
import type { Row } from './database.js';

/** Reads a number column. DuckDB hands BIGINT up as bigint; our counts and times stay below 2^53. */
export function numberOf(row: Row, name: string): number {
  const value = row[name];
  if (typeof value === 'bigint' || typeof value === 'number') return Number(value);
  throw new TypeError(`column ${name} holds no number`);
}

export function textOf(row: Row, name: string): string {
  const value = row[name];
  if (typeof value === 'string') return value;
  throw new TypeError(`column ${name} holds no text`);
}

export function histogramOf(row: Row): Histogram {
  return {
    zeroCount: numberOf(row, 'zero_count'),
    sum: numberOf(row, 'sum_ns'),
    min: numberOf(row, 'min_ns'),
    max: numberOf(row, 'max_ns'),
    buckets: numbersOf(row, 'buckets'),
    counts: numbersOf(row, 'counts'),
  };
}

function numbersOf(row: Row, name: string): number[] {
  const value = row[name];
  if (value === null || value === undefined) return [];
  if (!Array.isArray(value)) throw new TypeError(`column ${name} holds no list`);
  return value.map(Number);
}
