import { CoralError } from '@coral/errors';

/** One text for unknown, mistyped and forged tokens: nobody learns which ids exist. */
export class ApiTokenInvalid extends CoralError {
  constructor() {
    super({
      kind: 'unauthenticated',
      reason: 'token_invalid',
      message: 'The API token is not valid for this colony.',
      next: 'Ask the administrator of the colony for a token, and store it with `coral colony add`.',
    });
  }
}

export class ApiTokenMissing extends CoralError {
  constructor() {
    super({
      kind: 'unauthenticated',
      reason: 'token_missing',
      message: 'The call carries no API token.',
      next: 'Send `authorization: Bearer coral_pat_…`.',
    });
  }
}

export class ApiTokenExpired extends CoralError {
  constructor(at: number) {
    super({
      kind: 'unauthenticated',
      reason: 'token_expired',
      message: `The API token expired at ${new Date(at).toISOString()}.`,
      next: 'Ask the administrator of the colony for a new one.',
    });
  }
}

export class ApiTokenRevoked extends CoralError {
  constructor() {
    super({
      kind: 'unauthenticated',
      reason: 'token_revoked',
      message: 'The API token was revoked.',
      next: 'Ask the administrator of the colony why, and for a new one.',
    });
  }
}

export class JoinTokenRefused extends CoralError {
  constructor(problem: 'unknown' | 'used' | 'expired') {
    const messages = {
      unknown: 'The join token is not valid for this colony.',
      used: 'The join token was used before; each lets one agent join.',
      expired: 'The join token has expired.',
    };
    super({
      kind: 'unauthenticated',
      reason: `join_token_${problem === 'unknown' ? 'invalid' : problem}`,
      message: messages[problem],
      next: 'Make a new one on the machine of the colony: `coral colony join-token create`.',
    });
  }
}
