import { CoralError } from '@coral/errors';

export class DataDirectoryInUse extends CoralError {
  constructor(directory: string, cause?: unknown) {
    super({
      kind: 'failed_precondition',
      reason: 'data_directory_in_use',
      where: directory,
      message: `The telemetry directory ${directory} is in use by another process${holderOf(cause)}.`,
      next: 'Stop the other process, or give this one a data directory of its own.',
      cause,
    });
  }
}

function holderOf(cause: unknown): string {
  const found = cause instanceof Error ? /\(PID (\d+)\)/.exec(cause.message) : null;
  return found ? ` (pid ${found[1]})` : '';
}

export class DataDirectoryUnusable extends CoralError {
  constructor(directory: string, why: string, cause: unknown) {
    super({
      kind: 'failed_precondition',
      reason: 'data_directory_unusable',
      where: directory,
      message: `The telemetry directory ${directory} cannot be used: ${why}.`,
      next: 'Check that the directory exists, belongs to this user, has free space and is not from a newer version.',
      cause,
    });
  }
}

/** A read or a commit that the disk or the engine refused. Nothing of it is stored; the sender keeps its batch. */
export class TelemetryUnavailable extends CoralError {
  constructor(why: string, cause: unknown) {
    super({
      kind: 'unavailable',
      reason: 'telemetry_unavailable',
      message: `The telemetry store cannot do this now: ${why}.`,
      next: 'Try again; if it lasts, look at the free space of the data directory and at the colony log.',
      cause,
    });
  }
}

export class BadBatch extends CoralError {
  constructor(what: string, where: string) {
    super({
      kind: 'invalid_argument',
      reason: 'bad_batch',
      where,
      message: `This batch of summaries cannot be kept: ${what}.`,
      next: 'Send a non-empty epoch of at most 64 characters and a seq that counts 1, 2, 3, ….',
    });
  }
}
