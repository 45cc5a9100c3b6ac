import { CoralError } from '@coral/errors';

export function notEnrolled(): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'not_enrolled',
    where: 'join_token',
    message: 'This agent has no identity yet and no join token to get one with.',
    next: 'Have the colony’s administrator make a join token, and set join_token: env://NAME or join_token_file.',
  });
}

export function otherColony(directory: string): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'other_colony',
    where: 'colony.ca_fingerprint',
    message: 'This agent’s identity belongs to a colony with another CA.',
    next: `Put the old ca_fingerprint back, or move ${directory} away and join the new colony with a join token.`,
  });
}

export function identityDamaged(file: string, cause: unknown): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'identity_damaged',
    where: file,
    message: `${file} does not hold what this agent wrote there.`,
    next: 'Restore it from a backup, or move its directory away and enrol again with a new join token.',
    cause,
  });
}

/** A refusal during enrolment: the colony's own words, and what the agent's operator can do. Ends the process with 78. */
export function enrollmentRefused(error: CoralError): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: error.reason,
    where: error.where ?? 'join_token',
    message: `The colony refuses this agent: ${error.message}`,
    next: error.next ?? 'Have the colony’s administrator make a new join token; each can be used once.',
    cause: error,
  });
}
