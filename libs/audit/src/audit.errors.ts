import { CoralError } from '@coral/errors';

export class AuditUnavailable extends CoralError {
  constructor(why: string, cause?: unknown) {
    super({
      kind: 'unavailable',
      reason: 'audit_unavailable',
      message: `The audit log cannot be written (${why}), and without a row nothing is answered.`,
      next: 'Free space on, or repair, the disk that holds the audit directory; the log goes on by itself.',
      cause,
    });
  }
}

export class AuditInUse extends CoralError {
  constructor(directory: string) {
    super({
      kind: 'failed_precondition',
      reason: 'audit_in_use',
      where: directory,
      message: `Another process is writing the audit log in ${directory}.`,
      next: 'Stop that process, or give this one a data directory of its own.',
    });
  }
}

export class AuditChainBroken extends CoralError {
  constructor(bad: { seq: number; file: string; line: number; problem: string; detail: string }) {
    super({
      kind: 'failed_precondition',
      reason: 'audit_chain_broken',
      where: `${bad.file}:${bad.line}`,
      message: `The audit chain is broken at row ${bad.seq} (${bad.file}:${bad.line}, ${bad.problem}): ${bad.detail}.`,
      next: 'Keep a copy of the directory as evidence, then restore it from a backup or start with an empty one.',
    });
  }
}

export class AuditNotFound extends CoralError {
  constructor(directory: string) {
    super({
      kind: 'not_found',
      reason: 'audit_not_found',
      where: directory,
      message: `There is no audit log in ${directory}.`,
      next: "Name the directory `audit` inside the colony's data directory.",
    });
  }
}
