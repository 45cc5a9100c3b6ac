import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Metadata, status, type ServiceError } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CertificateAuthority } from '@coral/auth';
import { CoralError, errorKinds, grpcCodeFor, type ErrorKind } from '@coral/errors';
import {
  callUnary,
  colonyV1,
  errorTrailerKey,
  fromServiceError,
  grpcClientOptions,
  pinnedCredentials,
  serveTls,
  toServiceError,
  type TlsServer,
} from './index.js';
import { identifyingServer } from './rpc.fixture.js';

const plain = (code: number, details: string, metadata = new Metadata()): ServiceError =>
  Object.assign(new Error(details), { code, details, metadata });

describe('errors over gRPC', () => {
  let directory: string;
  let tls: TlsServer;
  let client: colonyV1.ColonyServiceClient;
  let next: CoralError;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'coral-rpc-'));
    const ca = await CertificateAuthority.openOrCreate(directory);
    const { server } = identifyingServer({ describe: (_call, callback) => callback(toServiceError(next)) });
    tls = await serveTls(server, { host: '127.0.0.1', port: 0, ...(await ca.issueServer(['127.0.0.1'])) });
    const target = `127.0.0.1:${tls.port}`;
    client = new colonyV1.ColonyServiceClient(target, pinnedCredentials(ca.caPem), grpcClientOptions);
  });
  afterAll(async () => {
    client.close();
    await tls.close(0);
    await rm(directory, { recursive: true });
  });
  const roundTrip = async (error: CoralError): Promise<unknown> => {
    next = error;
    return await callUnary(client, client.describeColony, {}).then(
      () => 'no error',
      (thrown: unknown) => thrown,
    );
  };

  it.each(errorKinds)('carry every kind of the table there and back: %s', async (kind: ErrorKind) => {
    const sent = new CoralError({
      kind,
      reason: `some_${kind}`,
      message: `What failed: "${kind}" 100%\nand why – €.`,
      next: 'Do this.',
      where: 'file.yaml:3:7',
      cause: new Error('private'),
    });
    const got = await roundTrip(sent);
    expect(got).toBeInstanceOf(CoralError);
    const { kind: k, reason, message, next: n, where } = got as CoralError;
    expect({ k, reason, message, n, where }).toEqual({
      k: kind,
      reason: sent.reason,
      message: sent.message,
      n: sent.next,
      where: sent.where,
    });
    const raw = (got as CoralError).cause as ServiceError;
    expect(raw.code).toBe(grpcCodeFor(kind) || status.UNKNOWN);
    const sentOut = [raw.details, ...raw.metadata.get(errorTrailerKey).map(String)].join('\n');
    expect(sentOut).toContain(sent.reason);
    expect(sentOut).not.toContain('private');
  });

  it('leave out what was not said', async () => {
    const got = await roundTrip(new CoralError({ kind: 'not_found', reason: 'unknown_agent', message: 'No.' }));
    expect(got).toMatchObject({ kind: 'not_found', reason: 'unknown_agent', next: undefined, where: undefined });
  });

  it.each([
    ['long', 'x'.repeat(100_000)],
    ['long and outside ASCII', '日'.repeat(100_000)],
    ['astral', '\u{1F41A}'.repeat(100_000)],
    ['ill-formed', 'a\ud800b'],
    ['control characters', '\r\n\0\u001b[31m'],
    ['empty', ''],
  ])('arrive clipped but sound when their text is %s', async (_what, message) => {
    const got = await roundTrip(
      new CoralError({ kind: 'internal', reason: 'r', message, next: message, where: message }),
    );
    expect(got).toMatchObject({ kind: 'internal', reason: 'r' });
    expect(message.toWellFormed().startsWith((got as CoralError).message.replace(/\ufffd$/, ''))).toBe(true);
  });

  it.each<[number, ErrorKind, string]>([
    [status.UNAVAILABLE, 'unavailable', 'colony_unreachable'],
    [status.DEADLINE_EXCEEDED, 'deadline_exceeded', 'deadline'],
    [status.CANCELLED, 'cancelled', 'cancelled'],
    [status.UNIMPLEMENTED, 'failed_precondition', 'not_supported'],
    [status.RESOURCE_EXHAUSTED, 'resource_exhausted', 'resource_exhausted'],
    [status.UNAUTHENTICATED, 'unauthenticated', 'unauthenticated'],
    [status.PERMISSION_DENIED, 'permission_denied', 'permission_denied'],
    [status.INVALID_ARGUMENT, 'invalid_argument', 'invalid_argument'],
    [status.NOT_FOUND, 'not_found', 'not_found'],
    [status.FAILED_PRECONDITION, 'failed_precondition', 'failed_precondition'],
    [status.UNKNOWN, 'internal', 'internal'],
    [status.DATA_LOSS, 'internal', 'internal'],
    [99, 'internal', 'internal'],
  ])('give a plain status %i a kind and a reason', (code, kind, reason) => {
    const error = fromServiceError(plain(code, 'because'));
    expect(error).toMatchObject({ kind, reason });
    expect(error.message.length).toBeGreaterThan(10);
  });

  it('say what to do when nobody answers, and who it was', () => {
    const error = plain(status.UNAVAILABLE, 'No connection established.');
    expect(fromServiceError(error).next).toContain('coral colony list');
    expect(fromServiceError(error, 'agent')).toMatchObject({
      reason: 'agent_unreachable',
      message: expect.stringContaining('The agent cannot be reached (No connection established.)'),
    });
  });

  it.each([
    ['not JSON', '{'],
    ['not ours', '{"a":1}'],
    ['a kind we do not know', '{"kind":"fine","reason":"r","message":"m"}'],
    ['a reason that is no word', '{"kind":"internal","reason":"rm -rf /","message":"m"}'],
    ['too long', JSON.stringify({ kind: 'internal', reason: 'r', message: 'x'.repeat(4_097) })],
    ['null', 'null'],
  ])('fall back to the status when the details are %s', (_what, text) => {
    const metadata = new Metadata();
    metadata.set(errorTrailerKey, Buffer.from(text));
    expect(fromServiceError(plain(status.NOT_FOUND, 'gone', metadata))).toMatchObject({
      kind: 'not_found',
      reason: 'not_found',
    });
  });

  it('keep what is no gRPC error inside', () => {
    const own = new CoralError({ kind: 'not_found', reason: 'r', message: 'm' });
    expect(fromServiceError(own)).toBe(own);
    const unknown = fromServiceError(new TypeError('secret'));
    expect(unknown).toMatchObject({ kind: 'internal', reason: 'internal' });
    expect(unknown.message).not.toContain('secret');
  });
});
