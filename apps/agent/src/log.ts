import type { LoggerService } from '@nestjs/common';

export type LogFields = Record<string, unknown>;

/** JSON lines on stderr: `{"at", "level", "message", …}`. stdout is for the ready line alone. */
export class AgentLog implements LoggerService {
  readonly #write: (line: string) => void;
  readonly #now: () => number;

  constructor(now: () => number, write: (line: string) => void = (line) => void process.stderr.write(line)) {
    this.#now = now;
    this.#write = write;
  }

  info(message: string, fields: LogFields = {}): void {
    this.#line('info', message, fields);
  }

  warn(message: unknown, fields?: unknown): void {
    this.#line('warn', String(message), asFields(fields));
  }

  error(message: unknown, fields?: unknown): void {
    this.#line('error', String(message), asFields(fields));
  }

  /** Nest's own chatter at start; of no use to anybody who runs an agent. */
  log(): void {}

  #line(level: string, message: string, fields: LogFields): void {
    this.#write(`${JSON.stringify({ at: new Date(this.#now()).toISOString(), level, message, ...fields })}\n`);
  }
}

function asFields(value: unknown): LogFields {
  if (typeof value === 'object' && value !== null) return value as LogFields;
  return value === undefined ? {} : { context: String(value) };
}

/** An error for the log: its reason and text with the causes behind it; only here do causes show. */
export function describeError(thrown: unknown): LogFields {
  const chain: string[] = [];
  let at: unknown = thrown;
  while (at instanceof Error && chain.length < 5) {
    chain.push(at.message);
    at = at.cause;
  }
  if (chain.length === 0) chain.push(String(thrown));
  const reason = thrown instanceof Error && 'reason' in thrown ? { reason: thrown.reason } : {};
  return { ...reason, error: chain.join(' <- ') };
}
