import type { LoggerService } from '@nestjs/common';
import { CoralError } from '@coral/errors';
import type { Clock } from '@coral/model';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Record<string, string | number | boolean | null | undefined>;

const ranks: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

/** One JSON object per line on stderr: stdout belongs to the line that says the colony is ready. */
export class JsonLogger implements LoggerService {
  private readonly clock: Clock;
  private readonly threshold: number;
  private readonly write: (line: string) => void;

  constructor(
    clock: Clock,
    level: LogLevel = 'info',
    write = (line: string) => {
      process.stderr.write(line);
    },
  ) {
    this.clock = clock;
    this.threshold = ranks[level];
    this.write = write;
  }

  say(level: LogLevel, message: string, fields: LogFields = {}): void {
    if (ranks[level] < this.threshold) return;
    const at = new Date(this.clock.now()).toISOString();
    this.write(`${JSON.stringify({ at, level, message, ...fields })}\n`);
  }

  /** With the causes behind it, which only the log may tell. */
  failure(message: string, thrown: unknown, fields: LogFields = {}): void {
    this.say('error', message, { ...fields, error: describe(thrown) });
  }

  // What Nest itself says; its start-up chatter is for debugging.
  log(message: unknown, ...rest: unknown[]): void {
    this.say('debug', text(message), { context: contextOf(rest) });
  }
  debug(message: unknown, ...rest: unknown[]): void {
    this.say('debug', text(message), { context: contextOf(rest) });
  }
  verbose(message: unknown, ...rest: unknown[]): void {
    this.say('debug', text(message), { context: contextOf(rest) });
  }
  warn(message: unknown, ...rest: unknown[]): void {
    this.say('warn', text(message), { context: contextOf(rest) });
  }
  error(message: unknown, ...rest: unknown[]): void {
    this.say('error', text(message), { context: contextOf(rest) });
  }
  fatal(message: unknown, ...rest: unknown[]): void {
    this.say('error', text(message), { context: contextOf(rest) });
  }
}

/** Deep enough for any chain we build, and an end for one that bites its tail. */
const maxCauses = 8;

export function describe(thrown: unknown): string {
  const parts: string[] = [];
  let next = thrown;
  while (next instanceof Error && parts.length < maxCauses) {
    parts.push(describeOne(next));
    next = next.cause;
  }
  if (next !== undefined && !(next instanceof Error)) parts.push(text(next));
  return parts.join('\ncaused by: ');
}

function describeOne(error: Error): string {
  if (error instanceof CoralError && error.kind !== 'internal')
    return `${error.kind} ${error.reason}: ${error.message}`;
  return error.stack ?? error.message;
}

function text(message: unknown): string {
  if (typeof message === 'string') return message;
  return message instanceof Error ? describe(message) : (JSON.stringify(message) ?? String(message));
}

function contextOf(rest: unknown[]): string | undefined {
  const last = rest.at(-1);
  return typeof last === 'string' ? last : undefined;
}
