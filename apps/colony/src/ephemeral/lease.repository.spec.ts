import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { agentIdOf, keyIdOf, parseDuration } from '@coral/model';
import type { AgentId, UserId } from '@coral/model';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ControlDb } from '../control/control-db.js';
import { LeaseRepository } from './lease.repository.js';
import type { ReservationRequest } from './lease.repository.js';

const rules = {
  defaultTtl: parseDuration('5m'),
  maxTtl: parseDuration('15m'),
  maxConcurrentPerUser: 3,
  maxPublicPerUser: 3,
};

type Seated = ReservationRequest & Required<Pick<ReservationRequest, 'seat'>>;

class TestClock {
  bootId = 'boot-1';
  wall = 1_700_000_000_000;
  mono = 1_000;
  now = () => this.wall;
  monotonic = () => this.mono;
  pass(ms: number): void {
    this.wall += ms;
    this.mono += ms;
  }
}

function requestOf(user: string, key: number): Seated {
  const publicKey = new Uint8Array(32).fill(key & 0xff);
  publicKey[1] = key >>> 8;
  return {
    agentId: agentIdOf(publicKey, 'eph'),
    userId: user as UserId,
    tokenId: `token-${user}`,
    purpose: 'coral ask',
    seat: { keyId: keyIdOf(publicKey), publicKey, directCertificateSha256: new Uint8Array(32).fill(9) },
    ttl: rules.defaultTtl,
  };
}

describe('LeaseRepository', () => {
  let directory: string;
  let clock: TestClock;
  let db: ControlDb;
  let leases: LeaseRepository;

  function reopen(): void {
    db[Symbol.dispose]();
    db = ControlDb.open(directory);
    leases = new LeaseRepository(db, clock, rules);
  }

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'coral-leases-'));
    clock = new TestClock();
    db = ControlDb.open(directory);
    leases = new LeaseRepository(db, clock, rules);
  });

  afterEach(() => {
    db[Symbol.dispose]();
    rmSync(directory, { recursive: true, force: true });
  });

  it('grants exactly three of fifty parallel requests', async () => {
    const answers = await Promise.allSettled(
      Array.from({ length: 50 }, async (_, key) => {
        await Promise.resolve();
        const lease = leases.reserve(requestOf('alex', key));
        await Promise.resolve();
        leases.activate(lease.agentId);
        return lease;
      }),
    );
    const refused = answers.filter((answer) => answer.status === 'rejected');
    expect(leases.listAlive()).toHaveLength(3);
    expect(refused).toHaveLength(47);
    for (const { reason } of refused) expect(reason).toMatchObject({ reason: 'too_many_leases' });
  });

  it('gives every lease of three users its own address', () => {
    const users = ['alex', 'jordan', 'sam'];
    const hosts = users.flatMap((user, u) =>
      [0, 1, 2].map((i) => leases.reserveSeat(requestOf(user, u * 3 + i)).seat.host),
    );
    expect(new Set(hosts).size).toBe(9);
    expect(Math.min(...hosts)).toBeGreaterThanOrEqual(0x8000);
  });

  it('does not hand a freed address out again at once', () => {
    const first = leases.reserveSeat(requestOf('alex', 1));
    leases.remove(first.lease.agentId);
    expect(leases.reserveSeat(requestOf('alex', 2)).seat.host).not.toBe(first.seat.host);
  });

  it('counts a reserved lease but honours it only once active', () => {
    const lease = leases.reserve(requestOf('alex', 1));
    expect(leases.findAlive(lease.agentId)).toBeUndefined();
    leases.activate(lease.agentId);
    expect(leases.findAlive(lease.agentId)).toMatchObject({ userId: 'alex', purpose: 'coral ask' });
  });

  it('refuses a key that holds a lease already', () => {
    leases.reserve(requestOf('alex', 1));
    expect(() => leases.reserve(requestOf('jordan', 1))).toThrow(expect.objectContaining({ reason: 'key_in_use' }));
  });

  it('keeps public accesses, which have neither key nor address, over a restart', () => {
    for (const key of [1, 2]) {
      const { seat: _, ...request } = requestOf('alex', key);
      const lease = leases.reserve({ ...request, agentId: agentIdOf(new Uint8Array(32).fill(key), 'pub') });
      leases.activate(lease.agentId);
    }
    reopen();
    expect(leases.listAlive().map(({ agentId, seat }) => [agentId.slice(0, 4), seat])).toEqual([
      ['pub-', undefined],
      ['pub-', undefined],
    ]);
  });

  it('keeps absolute ends over a restart', () => {
    const lease = leases.reserve(requestOf('alex', 1));
    leases.activate(lease.agentId);
    clock.pass(200_000);
    reopen();
    expect(leases.findAlive(lease.agentId)?.expiresAt).toBe(lease.expiresAt);
    clock.pass(99_999);
    expect(leases.findAlive(lease.agentId)).toBeDefined();
    clock.pass(1);
    expect(leases.findAlive(lease.agentId)).toBeUndefined();
    expect(leases.listExpired().map((one) => one.agentId)).toEqual([lease.agentId]);
  });

  it.each([-3_600_000, -86_400_000, 3_600_000, 86_400_000])(
    'lets no lease outlive its ttl when the wall clock steps by %i ms',
    (step) => {
      const lease = leases.reserve(requestOf('alex', 1));
      leases.activate(lease.agentId);
      clock.wall += step;
      clock.pass(rules.defaultTtl);
      expect(leases.findAlive(lease.agentId)).toBeUndefined();
    },
  );

  it('lets no lease outlive its ttl when the clock steps back and the colony restarts', () => {
    const lease = leases.reserve(requestOf('alex', 1));
    leases.activate(lease.agentId);
    clock.pass(200_000);
    clock.wall -= 3_600_000;
    reopen();
    clock.pass(100_000);
    expect(leases.findAlive(lease.agentId)).toBeUndefined();
  });

  it('goes by the wall clock after a reboot', () => {
    const lease = leases.reserve(requestOf('alex', 1));
    leases.activate(lease.agentId);
    clock.pass(200_000);
    clock.bootId = 'boot-2';
    clock.mono = 3;
    reopen();
    clock.pass(99_000);
    expect(leases.findAlive(lease.agentId)).toBeDefined();
    clock.pass(1_000);
    expect(leases.findAlive(lease.agentId)).toBeUndefined();
  });

  it('ends what was reserved but never answered when the colony starts again', () => {
    const kept = leases.reserve(requestOf('alex', 1));
    leases.activate(kept.agentId);
    const lost = leases.reserve(requestOf('alex', 2));
    reopen();
    leases.endUnanswered();
    expect(leases.listEnded()).toMatchObject([{ agentId: lost.agentId, endedAs: 'unanswered', endedBy: undefined }]);
    expect(leases.listAlive().map((one) => one.agentId)).toEqual([kept.agentId]);
  });

  it('remembers an end that is still to be audited, over a restart', () => {
    const lease = leases.reserve(requestOf('alex', 1));
    leases.activate(lease.agentId);
    expect(leases.markEnded(lease.agentId, 'released', 'jordan' as UserId)).toBe(true);
    expect(leases.markEnded(lease.agentId, 'expired')).toBe(false);
    reopen();
    expect(leases.findAlive(lease.agentId)).toBeUndefined();
    expect(leases.listEnded()).toMatchObject([{ agentId: lease.agentId, endedAs: 'released', endedBy: 'jordan' }]);
    leases.remove(lease.agentId);
    expect(leases.listEnded()).toEqual([]);
  });

  it('frees the place at once when a lease ends', () => {
    const held = [1, 2, 3].map((key) => leases.reserve(requestOf('alex', key)));
    for (const lease of held.slice(0, 1)) leases.markEnded(lease.agentId, 'released');
    expect(leases.reserve(requestOf('alex', 4)).userId).toBe('alex');
  });

  it('holds for granted what the table says, after any changes, refused ones and restarts', () => {
    const said = (agentId: string): boolean =>
      db.sql.prepare("SELECT 1 FROM leases WHERE agent_id = ? AND state = 'active'").get(agentId) !== undefined;
    const ids = [1, 2, 3].map((key) => requestOf(`user-${key}`, key).agentId);
    const step = fc.record({
      key: fc.integer({ min: 1, max: 3 }),
      act: fc.constantFrom('reserve', 'activate', 'end', 'remove', 'restart'),
      refused: fc.boolean(),
    });
    const acts: Record<string, (key: number) => void> = {
      reserve: (key) => void leases.reserve(requestOf(`user-${key}`, key)),
      activate: (key) => void leases.activate(ids[key - 1] as AgentId),
      end: (key) => void leases.markEnded(ids[key - 1] as AgentId, 'released'),
      remove: (key) => leases.remove(ids[key - 1] as AgentId),
      restart: () => reopen(),
    };
    // Whatever chance brings besides, each run grants, and each has a change refused in every state.
    const life = ['reserve', 'activate', 'restart', 'end', 'remove'].flatMap((act) => [
      { key: 1, act, refused: true },
      { key: 1, act, refused: false },
    ]);
    let granted = 0;
    let failed = 0;
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        for (const id of ids) leases.remove(id);
        for (const { key, act, refused } of steps) {
          // The disk takes nothing for the length of this step.
          if (refused && act !== 'restart') db.sql.exec('PRAGMA query_only = 1');
          try {
            acts[act]?.(key);
          } catch {
            failed += 1;
          }
          db.sql.exec('PRAGMA query_only = 0');
          for (const id of ids) {
            expect(leases.findAlive(id) !== undefined).toBe(said(id));
            granted += said(id) ? 1 : 0;
          }
        }
      }),
      { numRuns: 40, examples: [[life]] },
    );
    expect(granted).toBeGreaterThan(0);
    expect(failed).toBeGreaterThan(0);
  });

  it('is back to where it began after a thousand leases', () => {
    for (let key = 0; key < 1_000; key += 1) {
      const lease = leases.reserve(requestOf('alex', key));
      leases.activate(lease.agentId);
      leases.markEnded(lease.agentId, 'released');
      leases.remove(lease.agentId);
    }
    expect(leases.listAlive()).toEqual([]);
    expect(leases.hasKey(requestOf('alex', 1).seat.keyId)).toBe(false);
  });
});
