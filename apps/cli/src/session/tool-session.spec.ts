import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CoralError } from '@coral/errors';
import { parseDuration, systemClock } from '@coral/model';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ColonyDouble, type GrantedLease } from '../testing/colony-double.js';
import { envelopeOf } from '../testing/envelopes.js';
import { ToolSession, type SessionOptions } from './tool-session.js';

const healthy = envelopeOf({ services: [] });

describe('a session with a colony', () => {
  let colony: ColonyDouble;
  let directory: string;
  let stopping: AbortController;
  let reconnects: number;

  beforeEach(async () => {
    colony = await ColonyDouble.start();
    directory = await mkdtemp(join(tmpdir(), 'coral-session-'));
    await writeCredentials(colony.apiToken);
    stopping = new AbortController();
    reconnects = 0;
    colony.tool = async () => healthy;
  });
  afterEach(async () => {
    await colony[Symbol.asyncDispose]();
    await rm(directory, { recursive: true });
  });

  const writeCredentials = (token: string) =>
    writeFile(join(directory, 'credentials.yaml'), `tokens: { double: "${token}" }\n`, { mode: 0o600 });
  const open = (more: Partial<SessionOptions> = {}) =>
    ToolSession.open({
      colony: colony.entry,
      credentialsFile: join(directory, 'credentials.yaml'),
      purpose: 'coral test',
      autoCleanup: true,
      clock: systemClock,
      signal: stopping.signal,
      onReconnect: () => (reconnects += 1),
      ...more,
    });
  const health = (session: ToolSession) => session.callTool('coral_get_health', {}, stopping.signal);
  const failure = async (work: Promise<unknown>): Promise<CoralError> => {
    const thrown = await work.then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(thrown).toBeInstanceOf(CoralError);
    return thrown as CoralError;
  };
  const firstLease = (): GrantedLease => {
    const [lease] = colony.granted;
    if (!lease) throw new Error('no lease was granted');
    return lease;
  };

  it('gets a lease with its own key, calls a tool through the mesh, and gives the lease back', async () => {
    const session = await open({ ttl: parseDuration('1m30s') });
    expect(await health(session)).toMatchObject({ isError: false, envelope: healthy });
    expect(colony.granted).toMatchObject([{ agentId: session.agentId, ttlMs: 90_000, purpose: 'coral test' }]);
    expect(colony.released).toEqual([]);
    await session.close();
    await session.close();
    expect(colony.released).toEqual([session.agentId]);
  });

  it('gives the lease back when the work throws', async () => {
    const work = async () => {
      await using session = await open();
      await health(session);
      throw new Error('the model broke off');
    };
    await expect(work()).rejects.toThrow('the model broke off');
    expect(colony.open).toEqual([]);
  });

  it('gives the lease back when it is stopped in the middle of a call', async () => {
    const started = new Promise<void>((resolve) => {
      colony.tool = ({ signal }) => {
        resolve();
        return new Promise((answer) => signal.addEventListener('abort', () => answer(healthy)));
      };
    });
    const session = await open();
    const call = failure(health(session));
    await started;
    stopping.abort();
    expect((await call).kind).toBe('cancelled');
    await session.close();
    expect(colony.open).toEqual([]);
  });

  it('gives the lease back when it is stopped while it is being granted', async () => {
    colony.onGranted = () => stopping.abort();
    expect((await failure(open())).kind).toBe('cancelled');
    await colony.whenReleased(1);
    expect(colony.open).toEqual([]);
  });

  it('leaves the lease to its TTL when auto_cleanup is off', async () => {
    const session = await open({ autoCleanup: false });
    await session.close();
    expect(colony.released).toEqual([]);
    expect(colony.open).toEqual([session.agentId]);
  });

  it('replaces a lease that ended, once, and the caller sees only the answer', async () => {
    await using session = await open();
    await health(session);
    const first = firstLease();
    colony.endLease(first);
    const answers = await Promise.all([health(session), health(session), health(session)]);
    expect(answers.map(({ isError }) => isError)).toEqual([false, false, false]);
    expect(reconnects).toBe(1);
    expect(colony.granted).toHaveLength(2);
    expect(colony.granted[1]?.keyId).not.toBe(first.keyId);
    expect(session.agentId).toBe(colony.granted[1]?.agentId);
    colony.granted.forEach((lease) => colony.endLease(lease));
    expect(await failure(health(session))).toMatchObject({ kind: 'unauthenticated' });
    expect(reconnects).toBe(1);
  });

  it('gives nothing back that was never granted', async () => {
    colony.refuseAccess = new CoralError({
      kind: 'resource_exhausted',
      reason: 'too_many_leases',
      message: 'You hold 3 leases.',
      next: 'Wait.',
    });
    expect(await failure(open())).toMatchObject({ reason: 'too_many_leases', next: 'Wait.' });
    expect(colony.released).toEqual([]);
  });

  it('passes on why a TTL is refused', async () => {
    expect(await failure(open({ ttl: parseDuration('0s') }))).toMatchObject({ reason: 'bad_ttl' });
  });

  it('sends no credential to a colony with another CA', async () => {
    const impostor = { ...colony.entry, ca_fingerprint: `sha256:${'0'.repeat(64)}` };
    expect(await failure(open({ colony: impostor }))).toMatchObject({ kind: 'unauthenticated', reason: 'wrong_ca' });
    expect(colony.seenTokens).toEqual([]);
  });

  it('says that a token is wrong, and that nobody answers', async () => {
    await writeCredentials('coral_pat_other_secret');
    expect(await failure(open())).toMatchObject({ kind: 'unauthenticated', reason: 'token_invalid' });
    const nobody = { ...colony.entry, endpoint: '127.0.0.1:1' };
    expect(await failure(open({ colony: nobody }))).toMatchObject({
      kind: 'unavailable',
      reason: 'colony_unreachable',
    });
  });

  it('keeps the access token off the colony API and the API token off the mesh', async () => {
    await using session = await open();
    await health(session);
    expect(new Set(colony.seenTokens)).toEqual(new Set([colony.apiToken]));
  });
});
