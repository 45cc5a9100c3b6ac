import { CoralError } from '@coral/errors';

export function notTheColony(): CoralError {
  return new CoralError({
    kind: 'permission_denied',
    reason: 'not_the_colony',
    message: 'Only the colony may ask this agent.',
    next: 'Ask the colony: it checks who may see what, and keeps the audit.',
  });
}

export function tooManyQueries(limit: number): CoralError {
  return new CoralError({
    kind: 'resource_exhausted',
    reason: 'too_many_queries',
    message: `This agent is answering ${limit} questions already.`,
    next: 'Ask again in a few seconds.',
  });
}

export function snapshotFailed(cause: unknown): CoralError {
  return new CoralError({
    kind: 'unavailable',
    reason: 'snapshot_failed',
    message: 'The agent could not take a snapshot of its hot window.',
    next: 'Try again; if it stays, look at the agent’s log and at the free space of its data_dir.',
    cause,
  });
}
