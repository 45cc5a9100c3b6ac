import { CoralError } from '@coral/errors';
import { formatDuration, parseDuration, type Duration } from '@coral/model';
import { z } from 'zod';
import { Secret } from './secret.js';

export interface DurationLimits {
  /** Inclusive, milliseconds. */
  min?: number;
  max?: number;
}

/** `"5m"` to a `Duration` (whole ms). Give defaults with `.prefault('5m')`. */
export function durationField(limits: DurationLimits = {}): z.ZodType<Duration, string> {
  const wanted = 'expected a number and a unit (ms, s, m, h, d), for example 90s, 5m or 1h30m';
  return z.string({ error: wanted }).transform((text, ctx) => {
    const value = readDuration(text);
    if (value === undefined) return refuse(ctx, wanted);
    if (limits.min !== undefined && value < limits.min) {
      return refuse(ctx, `${text} is below the least allowed, ${formatDuration(limits.min)}`);
    }
    if (limits.max !== undefined && value > limits.max) {
      return refuse(ctx, `${text} is above the most allowed, ${formatDuration(limits.max)}`);
    }
    return value;
  });
}

function readDuration(text: string): Duration | undefined {
  try {
    return parseDuration(text);
  } catch (thrown) {
    if (thrown instanceof CoralError) return undefined;
    throw thrown;
  }
}

/** Bytes in one unit: SI units count in thousands, IEC units (80000-13) in 1024s. */
const byteUnits: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};

/** Number of bytes, or `undefined` when `text` is not one: `1MB` is 1,000,000, `1MiB` is 1,048,576. */
export function parseByteSize(text: string): number | undefined {
  const parts = /^(\d{1,12}) ?(B|kB|KB|MB|GB|KiB|MiB|GiB)$/.exec(text);
  const unit = byteUnits[parts?.[2] ?? ''];
  if (!parts || unit === undefined) return undefined;
  const bytes = Number(parts[1]) * unit;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

export interface ByteLimits {
  /** Inclusive, bytes. */
  min?: number;
  max?: number;
}

/** `"1MB"` to a number of bytes. Give defaults with `.prefault('1MB')`. */
export function byteSizeField(limits: ByteLimits = {}): z.ZodType<number, string> {
  const wanted = 'expected a whole number and a unit (B, kB, MB, GB, KiB, MiB, GiB), for example 1MB';
  return z.string({ error: wanted }).transform((text, ctx) => {
    const bytes = parseByteSize(text);
    if (bytes === undefined) return refuse(ctx, wanted);
    if (limits.min !== undefined && bytes < limits.min) {
      return refuse(ctx, `${text} is below the least allowed, ${limits.min} bytes`);
    }
    if (limits.max !== undefined && bytes > limits.max) {
      return refuse(ctx, `${text} is above the most allowed, ${limits.max} bytes`);
    }
    return bytes;
  });
}

/** Text to a `Secret`: `env://NAME` is a reference, other schemes are refused, anything else is the secret itself. */
export function secretField(): z.ZodType<Secret, string> {
  return z.string({ error: 'expected text, best env://NAME' }).transform((text, ctx) => {
    if (text.trim() === '') return refuse(ctx, 'empty; write env://NAME');
    try {
      return Secret.parse(text);
    } catch (thrown) {
      if (!(thrown instanceof CoralError)) throw thrown;
      ctx.addIssue({ code: 'custom', message: thrown.message, params: { reason: thrown.reason, next: thrown.next } });
      return z.NEVER;
    }
  });
}

function refuse(ctx: z.RefinementCtx, message: string): never {
  ctx.addIssue({ code: 'custom', message });
  return z.NEVER;
}
