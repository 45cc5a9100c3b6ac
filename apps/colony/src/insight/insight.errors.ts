import { CoralError } from '@coral/errors';

export class TranscriptsNotKept extends CoralError {
  constructor() {
    super({
      kind: 'failed_precondition',
      reason: 'transcripts_not_kept',
      message: 'This colony keeps no transcripts.',
      next: 'Its administrator can set `audit.store_transcripts: true`; `--transcript FILE` saves one on your machine.',
    });
  }
}

export class BadTranscript extends CoralError {
  constructor(where: string, problem: string) {
    super({ kind: 'invalid_argument', reason: 'bad_transcript', where, message: `${where} ${problem}.` });
  }
}
