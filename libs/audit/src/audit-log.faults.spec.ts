import { open as openFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as endOfTurn } from 'node:timers/promises';
import { CoralError } from '@coral/errors';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { AuditLog, maxQueuedRows, retryMs } from './audit-log.js';
import type { AuditRow } from './audit-row.js';
import { readAudit } from './read.js';
import { collect, entry, fixedClock, temporaryDirectory } from './testing/audit-fixture.js';
import { ControlledFiles, diskError } from './testing/controlled-files.js';
import { verifyAudit } from './verify.js';

/** Small enough for the 12 rows below to need several segments. */
const segmentBytes = 1_000;

interface Outcome {
  acknowledged: AuditRow[];
  refused: number[];
}

async function appendTwelve(log: AuditLog): Promise<Outcome> {
  const outcome: Outcome = { acknowledged: [], refused: [] };
  // Three at a time: one alone and a batch of two.
  for (const numbers of [1, 4, 7, 10].map((n) => [n, n + 1, n + 2])) {
    const [first = 0, ...rest] = numbers;
    const alone = log.append(entry(first));
    alone.catch(() => undefined); // looked at below
    await endOfTurn();
    const results = await Promise.allSettled([alone, ...rest.map((n) => log.append(entry(n)))]);
    for (const [i, result] of results.entries()) {
      if (result.status === 'fulfilled') outcome.acknowledged.push(result.value);
      else outcome.refused.push(numbers[i] ?? 0);
    }
    const reasons = results.filter((result) => result.status === 'rejected').map((result) => reasonOf(result.reason));
    expect(reasons).toEqual(reasons.map(() => 'audit_unavailable'));
  }
  return outcome;
}

function reasonOf(thrown: unknown): string | undefined {
  return thrown instanceof CoralError ? thrown.reason : undefined;
}

/** Every acknowledged row is there as it was acknowledged, no refused one is, and the chain holds. */
async function expectHonest(directory: string, { acknowledged, refused }: Outcome): Promise<void> {
  const rows = await collect(readAudit(directory));
  const byId = new Map(rows.map((row) => [row.id, row]));
  for (const row of acknowledged) expect(byId.get(row.id)).toEqual(row);
  const numbers = rows.filter((row) => row.kind === 'admin').map((row) => row.payload['n']);
  for (const n of refused) expect(numbers).not.toContain(n);
  expect(await verifyAudit(directory)).toMatchObject({ ok: true, rows: rows.length });
}

async function operationsWithoutFault(): Promise<number> {
  await using place = await temporaryDirectory();
  const files = new ControlledFiles();
  await using log = await AuditLog.open({ directory: place.audit, clock: fixedClock(), files, segmentBytes });
  await appendTwelve(log);
  await log.close();
  return files.operations.length;
}

describe('a disk that fails', () => {
  afterEach(() => vi.useRealTimers());

  it.each([
    ['ENOSPC', 0],
    ['ENOSPC', 100],
    ['EIO', 0],
    ['EIO', 350],
    ['EIO', Number.POSITIVE_INFINITY],
    ['EROFS', 0],
  ] as const)(
    'once, at any step, with %s after %d bytes: the call under way is refused, nothing acknowledged is lost',
    async (code, bytesBeforeFailure) => {
      const steps = await operationsWithoutFault();
      expect(steps).toBeGreaterThan(20);
      for (let failing = 0; failing < steps; failing += 1) {
        await using place = await temporaryDirectory();
        const files = new ControlledFiles();
        files.bytesBeforeFailure = bytesBeforeFailure;
        files.before = (_, index) => {
          if (index === failing) throw diskError(code);
        };
        const options = { directory: place.audit, clock: fixedClock(), files, segmentBytes };
        const [opened] = await Promise.allSettled([AuditLog.open(options)]);
        const failedAtOpen = opened.status === 'rejected' ? reasonOf(opened.reason) : 'audit_unavailable';
        expect(failedAtOpen).toBe('audit_unavailable');
        const log = opened.status === 'fulfilled' ? opened.value : await AuditLog.open(options);
        const outcome = await appendTwelve(log);
        files.before = () => undefined;
        const last = await log.append(entry(13));
        expect(log.writable()).toBe(true);
        await log.close();
        await expectHonest(place.audit, { ...outcome, acknowledged: [...outcome.acknowledged, last] });
      }
    },
    60_000,
  );

  it('from any step on until the process dies: all that was acknowledged is there for the next one', async () => {
    const steps = await operationsWithoutFault();
    for (const bytesBeforeFailure of [0, 123]) {
      for (let failing = 0; failing < steps; failing += 1) {
        await using place = await temporaryDirectory();
        const files = new ControlledFiles();
        files.bytesBeforeFailure = bytesBeforeFailure;
        files.before = (_, index) => {
          if (index >= failing) throw diskError('EIO');
        };
        const options = { directory: place.audit, clock: fixedClock(), segmentBytes };
        const acknowledged: AuditRow[] = [];
        const [opened] = await Promise.allSettled([AuditLog.open({ ...options, files })]);
        const failedAtOpen = opened.status === 'rejected' ? reasonOf(opened.reason) : 'audit_unavailable';
        expect(failedAtOpen).toBe('audit_unavailable');
        if (opened.status === 'fulfilled') {
          acknowledged.push(...(await appendTwelve(opened.value)).acknowledged);
          await opened.value.close();
        }
        await using next = await AuditLog.open(options);
        const last = await next.append(entry(13));
        // What was refused may be there when the process dies before it can cut it off: more than was said, never less.
        await expectHonest(place.audit, { acknowledged: [...acknowledged, last], refused: [] });
      }
    }
  }, 60_000);

  it('says that it is not writable, and tells of the gap in the first row after it', async () => {
    await using place = await temporaryDirectory();
    const files = new ControlledFiles();
    const clock = fixedClock();
    await using log = await AuditLog.open({ directory: place.audit, clock, files });
    let full = true;
    files.before = (operation) => {
      if (full && operation === 'write') throw diskError('ENOSPC');
    };
    const refusals = await Promise.allSettled([log.append(entry(1)), log.append(entry(2)), log.append(entry(3))]);
    expect(refusals.map((refusal) => refusal.status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect(log.writable()).toBe(false);
    expect(log.head().seq).toBe(0);
    full = false;
    clock.at += 5_000;
    const row = await log.append(entry(4));
    expect(row.seq).toBe(2);
    expect(log.writable()).toBe(true);
    const [, gap] = await collect(readAudit(place.audit));
    expect(gap).toMatchObject({
      kind: 'audit.recovered',
      payload: { failed_at: '2026-01-01T00:00:00.000Z', refused_rows: 3, error: 'ENOSPC' },
    });
  });

  it('recovers without a call that asks for it', async () => {
    await using place = await temporaryDirectory();
    const files = new ControlledFiles();
    await using log = await AuditLog.open({ directory: place.audit, clock: fixedClock(), files });
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    let full = true;
    const written = Promise.withResolvers<void>();
    files.before = (operation) => {
      if (full && operation === 'write') throw diskError('EIO');
      if (operation === 'write') written.resolve();
    };
    await expect(log.append(entry(1))).rejects.toMatchObject({ reason: 'audit_unavailable' });
    full = false;
    expect(log.writable()).toBe(false);
    vi.advanceTimersByTime(retryMs);
    await written.promise;
    await vi.waitFor(() => expect(log.writable()).toBe(true));
    expect(log.head().seq).toBe(1);
  });

  it('never only syncs again what a failed fsync may have dropped', async () => {
    await using place = await temporaryDirectory();
    const files = new ControlledFiles();
    await using log = await AuditLog.open({ directory: place.audit, clock: fixedClock(), files });
    await log.append(entry(1));
    let failures = 1;
    files.bytesBeforeFailure = Number.POSITIVE_INFINITY;
    files.before = (operation) => {
      if (operation === 'write' && failures-- > 0) throw diskError('EIO');
    };
    files.operations.length = 0;
    await expect(log.append(entry(2))).rejects.toMatchObject({ reason: 'audit_unavailable' });
    await log.append(entry(3));
    expect(files.operations.join(' ')).toBe('write close open size read truncate write');
  });

  it('leaves nothing of many refused rows behind the one that follows them', async () => {
    await using place = await temporaryDirectory();
    const files = new ControlledFiles();
    await using log = await AuditLog.open({ directory: place.audit, clock: fixedClock(), files });
    let writes = 0;
    // The second batch is written whole, then cannot be synced.
    files.bytesBeforeFailure = Number.POSITIVE_INFINITY;
    files.before = (operation) => {
      if (operation === 'write' && (writes += 1) === 2) throw diskError('EIO');
    };
    await log.append(entry(0));
    const results = await Promise.allSettled(Array.from({ length: 19 }, (_, n) => log.append(entry(n + 1))));
    expect(results.map((result) => result.status)).toEqual(Array(19).fill('rejected'));
    await log.append(entry(99));
    expect(await verifyAudit(place.audit)).toMatchObject({ ok: true, rows: 4 });
  });

  it('stays shut when a foreign hand cut the segment while it was failing', async () => {
    await using place = await temporaryDirectory();
    const files = new ControlledFiles();
    await using log = await AuditLog.open({ directory: place.audit, clock: fixedClock(), files });
    await log.append(entry(1));
    let failures = 1;
    files.before = (operation) => {
      if (operation === 'write' && failures-- > 0) throw diskError('EIO');
    };
    await expect(log.append(entry(2))).rejects.toMatchObject({ reason: 'audit_unavailable' });
    const segment = join(place.audit, '00000001.jsonl');
    const handle = await openFile(segment, 'r+');
    await handle.truncate((await readFile(segment)).length - 10);
    await handle.close();
    for (let n = 3; n < 6; n += 1) {
      await expect(log.append(entry(n))).rejects.toMatchObject({ message: expect.stringContaining('somebody else') });
    }
    expect(log.writable()).toBe(false);
  });

  it('holds a bounded number of rows while it hangs, and loses none of them', async () => {
    await using place = await temporaryDirectory();
    const files = new ControlledFiles();
    await using log = await AuditLog.open({ directory: place.audit, clock: fixedClock(), files });
    const reached = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    files.before = async (operation) => {
      if (operation !== 'write') return;
      reached.resolve();
      await release.promise;
    };
    const first = log.append(entry(0));
    await reached.promise;
    const waiting = Array.from({ length: maxQueuedRows }, (_, n) => log.append(entry(n + 1)));
    await expect(log.append(entry(-1))).rejects.toMatchObject({
      message: expect.stringContaining('waiting for the disk'),
    });
    release.resolve();
    const rows = await Promise.all([first, ...waiting]);
    expect(rows.map((row) => row.seq)).toEqual(rows.map((_, n) => n + 1));
    expect(await verifyAudit(place.audit)).toMatchObject({ ok: true, rows: maxQueuedRows + 2 });
  });
});
