import { randomUUID } from 'node:crypto';
import type { ErrorKind } from './error-table.js';

export interface ErrorDetails {
  kind: ErrorKind;
  /** Stable word for machines, snake_case: `lease_expired`. The public name of the error; there are no other codes. */
  reason: string;
  /** For people: what failed and why, in one sentence. */
  message: string;
  /** For people: the exact next step. */
  next?: string | undefined;
  /** Where bad input stands: `file:line:col`, or the argument's name. */
  where?: string | undefined;
  /** Never leaves the process. */
  cause?: unknown;
}

/** The only error that crosses a door. Everything but `cause` is public. */
export class CoralError extends Error {
  readonly kind: ErrorKind;
  readonly reason: string;
  readonly next: string | undefined;
  readonly where: string | undefined;

  constructor(details: ErrorDetails) {
    super(details.message, { cause: details.cause });
    this.name = 'CoralError';
    this.kind = details.kind;
    this.reason = details.reason;
    this.next = details.next;
    this.where = details.where;
  }
}

/** An unknown throw becomes `internal` with a request id to find it by in the log; its text stays inside. */
export function toCoralError(thrown: unknown, requestId: string = randomUUID()): CoralError {
  if (thrown instanceof CoralError) return thrown;
  return new CoralError({
    kind: 'internal',
    reason: 'internal',
    message: `An internal error occurred (request ${requestId}).`,
    next: `Look for ${requestId} in the log of the process that answered.`,
    cause: thrown,
  });
}
