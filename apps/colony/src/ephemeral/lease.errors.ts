import { CoralError } from '@coral/errors';
import { formatDuration } from '@coral/model';
import type { AgentId } from '@coral/model';

export class BadTtl extends CoralError {
  constructor(problem: string, maxTtlMs: number) {
    super({
      kind: 'invalid_argument',
      reason: 'bad_ttl',
      where: 'ttl',
      message: `ttl: ${problem}; a lease lives at most ${formatDuration(maxTtlMs)}.`,
      next: `Ask for more than 0 and at most ${formatDuration(maxTtlMs)}, or leave ttl out for the default.`,
    });
  }
}

export class TooManyLeases extends CoralError {
  constructor(limit: number, held: readonly AgentId[], what = 'leases') {
    super({
      kind: 'resource_exhausted',
      reason: 'too_many_leases',
      message: `You hold ${held.length} ${what} (${held.join(', ')}); this colony allows ${limit} at a time.`,
      next: 'Release one with `coral colony ephemeral release <agent-id>`, or wait until one ends.',
    });
  }
}

export class KeyInUse extends CoralError {
  constructor() {
    super({
      kind: 'invalid_argument',
      reason: 'key_in_use',
      where: 'client_public_key',
      message: 'client_public_key: this key is on the mesh already.',
      next: 'Make a new key pair for each lease.',
    });
  }
}

export class BadPurpose extends CoralError {
  constructor(maxLength: number) {
    super({
      kind: 'invalid_argument',
      reason: 'bad_purpose',
      where: 'purpose',
      message: `purpose: more than ${maxLength} characters.`,
      next: 'Say in a few words what the lease is for, for example `coral ask`.',
    });
  }
}

export class LeasesDisabled extends CoralError {
  constructor() {
    super({
      kind: 'failed_precondition',
      reason: 'ephemeral_agents_disabled',
      message: 'This colony grants no ephemeral access.',
      next: 'Ask its administrator to set `ephemeral_agents.enabled: true`.',
    });
  }
}
