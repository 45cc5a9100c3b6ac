import { CoralError } from '@coral/errors';
import { formatDuration } from '@coral/model';

export class BadLifetime extends CoralError {
  constructor(maxMs: number) {
    super({
      kind: 'invalid_argument',
      reason: 'bad_ttl',
      where: 'ttl',
      message: `ttl: must be more than 0 and at most ${formatDuration(maxMs)}.`,
      next: 'Give a lifetime within that, or leave ttl out for the default.',
    });
  }
}

export class BadName extends CoralError {
  constructor(where: string, maxLength: number) {
    super({
      kind: 'invalid_argument',
      reason: 'bad_name',
      where,
      message: `${where}: must have 1 to ${maxLength} visible characters.`,
      next: `Give ${where} as the policy file writes it.`,
    });
  }
}

export class BadNote extends CoralError {
  constructor(maxLength: number) {
    super({
      kind: 'invalid_argument',
      reason: 'bad_note',
      where: 'note',
      message: `note: more than ${maxLength} characters.`,
      next: 'Say in a few words what the token is for.',
    });
  }
}

export class BadLabels extends CoralError {
  constructor(maxCount: number, maxLength: number) {
    super({
      kind: 'invalid_argument',
      reason: 'bad_labels',
      where: 'labels',
      message: `labels: at most ${maxCount}, with keys and values of 1 to ${maxLength} visible characters.`,
      next: 'Give labels as key=value, for example zone=eu-1.',
    });
  }
}

export class NoSuchToken extends CoralError {
  constructor() {
    super({
      kind: 'not_found',
      reason: 'no_such_token',
      where: 'token_id',
      message: 'token_id: this colony never made a token with this id.',
      next: 'The id is the middle part of the token: coral_pat_<id>_<secret>.',
    });
  }
}
