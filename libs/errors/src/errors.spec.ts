import { describe, expect, it } from 'vitest';
import {
  CoralError,
  errorKinds,
  exitCodeFor,
  grpcCodeFor,
  httpStatusFor,
  kindFromGrpcCode,
  toCoralError,
} from './index.js';

/** style.md's table, written out once more: a change there has to be made here on purpose. */
const published: Record<string, [grpc: number, http: number, exit: number]> = {
  invalid_argument: [3, 400, 2],
  permission_denied: [7, 403, 3],
  unauthenticated: [16, 401, 4],
  provider_failed: [2, 502, 5],
  unavailable: [14, 503, 6],
  deadline_exceeded: [4, 504, 7],
  partial: [0, 200, 8],
  failed_precondition: [9, 409, 78],
  not_found: [5, 404, 1],
  resource_exhausted: [8, 429, 1],
  internal: [13, 500, 1],
  cancelled: [1, 499, 130],
};

describe('the error table', () => {
  it('has every kind', () => {
    expect(errorKinds.toSorted()).toEqual(Object.keys(published).toSorted());
  });

  it.each(errorKinds)('says %s at every door', (kind) => {
    expect([grpcCodeFor(kind), httpStatusFor(kind), exitCodeFor(kind)]).toEqual(published[kind]);
    const back = kindFromGrpcCode(grpcCodeFor(kind));
    expect(back).toBe(kind === 'partial' || kind === 'provider_failed' ? 'internal' : kind);
  });

  it('takes codes that only libraries raise as internal', () => {
    expect([12, 15, 99].map(kindFromGrpcCode)).toEqual(['internal', 'internal', 'internal']);
  });
});

describe('an unknown throw', () => {
  it('becomes internal with a request id, and keeps its text inside', () => {
    const error = toCoralError(new Error('password is hunter2'), 'req-1');
    expect(error).toMatchObject({ kind: 'internal', reason: 'internal' });
    expect(`${error.message} ${error.next}`).toContain('req-1');
    expect(`${error.message} ${error.next}`).not.toContain('hunter2');
    expect(error.cause).toBeInstanceOf(Error);
  });

  it('leaves a CoralError as it is', () => {
    const known = new CoralError({ kind: 'not_found', reason: 'unknown_agent', message: 'no such agent' });
    expect(toCoralError(known)).toBe(known);
  });
});
