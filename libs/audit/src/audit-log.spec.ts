import { constants } from 'node:fs';
import { appendFile, readdir, readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as endOfTurn } from 'node:timers/promises';
import { CoralError } from '@coral/errors';
import { describe, expect, it, vi } from 'vitest';
import { AuditLog, crowdWaitMs } from './audit-log.js';
import type { AuditRow } from './audit-row.js';
import { readAudit } from './read.js';
import { collect, entry, fixedClock, tamper, temporaryDirectory, writeLog } from './testing/audit-fixture.js';
import { ControlledFiles } from './testing/controlled-files.js';
import { verifyAudit } from './verify.js';

async function rowsOf(directory: string): Promise<AuditRow[]> {
  return collect(readAudit(directory));
}

describe('AuditLog', () => {
  it('starts with a genesis row and chains every row to the one before', async () => {
    await using place = await temporaryDirectory();
    await writeLog(place.audit, 3);
    const rows = await rowsOf(place.audit);
    expect(rows.map((row) => [row.seq, row.kind])).toEqual([
      [0, 'audit.genesis'],
      [1, 'admin'],
      [2, 'admin'],
      [3, 'admin'],
    ]);
    expect(rows[0]?.prev).toBe('0'.repeat(64));
    expect(rows.slice(1).map((row) => row.prev)).toEqual(rows.slice(0, -1).map((row) => row.hash));
    expect(rows[1]).toMatchObject({ at: '2026-01-01T00:00:00.000Z', user_id: 'alex', payload: { n: 1 } });
  });

  it('gives 64 concurrent writers rows without gaps, in fewer writes than rows', async () => {
    await using place = await temporaryDirectory();
    const files = new ControlledFiles();
    await using log = await AuditLog.open({ directory: place.audit, clock: fixedClock(), files });
    const writers = Array.from({ length: 64 }, async (_, writer) => {
      const own: AuditRow[] = [];
      for (let n = 0; n < 20; n += 1) own.push(await log.append(entry(n, { agent_id: `writer-${writer}` })));
      return own;
    });
    const perWriter = await Promise.all(writers);
    const seqs = perWriter.flat().map((row) => row.seq);
    expect(seqs.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 1_280 }, (_, n) => n + 1));
    for (const own of perWriter) expect(own.map((row) => row.payload['n'])).toEqual(own.map((_, n) => n));
    expect(files.operations.filter((operation) => operation === 'write').length).toBeLessThan(200);
    expect(await verifyAudit(place.audit)).toMatchObject({ ok: true, rows: 1_281, head: log.head().hash });
  });

  it('lets rows come together again after a write of many, and a lone one not wait for long', async () => {
    await using place = await temporaryDirectory();
    const files = new ControlledFiles();
    await using log = await AuditLog.open({ directory: place.audit, clock: fixedClock(), files });
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const untilItWaits = async (): Promise<void> => {
      while (vi.getTimerCount() === 0) await endOfTurn();
    };
    try {
      const append = (count: number): Promise<AuditRow>[] =>
        Array.from({ length: count }, (_, n) => log.append(entry(n)));
      files.operations.length = 0;
      await Promise.all(append(8));
      const first = append(1);
      await untilItWaits();
      await Promise.all([...first, ...append(3)]);
      expect(files.operations).toEqual(['write', 'write']);
      const lone = log.append(entry(0));
      await untilItWaits();
      vi.advanceTimersByTime(crowdWaitMs);
      await lone;
      // After a lone one nobody waits: there is no timer to advance.
      await log.append(entry(0));
      expect(files.operations).toHaveLength(4);
      await Promise.all(append(8));
      const last = log.append(entry(0));
      await untilItWaits();
      await log.close();
      expect((await last).seq).toBeGreaterThan(0);
    } finally {
      vi.useRealTimers();
    }
  });

  it('resolves an append only after the write of its bytes has', async () => {
    await using place = await temporaryDirectory();
    const files = new ControlledFiles();
    await using log = await AuditLog.open({ directory: place.audit, clock: fixedClock(), files });
    const reached = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    files.afterWrite = async () => {
      reached.resolve();
      await release.promise;
    };
    let resolved = false;
    const appended = log.append(entry(1)).then(() => (resolved = true));
    await reached.promise;
    expect(await readFile(join(place.audit, '00000001.jsonl'), 'utf8')).toContain('"n":1');
    expect(resolved).toBe(false);
    expect(log.head().seq).toBe(0);
    release.resolve();
    await appended;
    expect(log.head().seq).toBe(1);
  });

  // What the write promises is the kernel's to keep: `flags` of /proc/self/fdinfo are those of open(2), in octal.
  it.runIf(process.platform === 'linux')('writes through a descriptor whose writes end on the disk', async () => {
    await using place = await temporaryDirectory();
    await using log = await AuditLog.open({ directory: place.audit, clock: fixedClock() });
    await log.append(entry(1));
    const segment = join(place.audit, '00000001.jsonl');
    const open = await Promise.all(
      (await readdir('/proc/self/fd')).map(async (fd) => {
        const target = await readlink(`/proc/self/fd/${fd}`).catch(() => '');
        return target === segment ? [await readFile(`/proc/self/fdinfo/${fd}`, 'utf8')] : [];
      }),
    );
    const flags = open.flat().map((info) => Number.parseInt(/^flags:\s*(\d+)$/m.exec(info)?.[1] ?? '', 8));
    expect(flags).toHaveLength(1);
    expect((flags[0] ?? 0) & constants.O_DSYNC).toBe(constants.O_DSYNC);
  });

  it('makes the name of a new segment durable before the first row in it counts', async () => {
    await using place = await temporaryDirectory();
    const files = new ControlledFiles();
    await using log = await AuditLog.open({ directory: place.audit, clock: fixedClock(), files, segmentBytes: 600 });
    for (let n = 1; n < 20 && (await readdir(place.audit)).filter((f) => f.endsWith('.jsonl')).length < 2; n += 1) {
      files.operations.length = 0;
      await log.append(entry(n));
    }
    expect(files.operations.slice(-2)).toEqual(['write', 'syncDirectory']);
  });

  it('goes on after short writes', async () => {
    await using place = await temporaryDirectory();
    const files = new ControlledFiles();
    files.bytesPerWrite = 7;
    await using log = await AuditLog.open({ directory: place.audit, clock: fixedClock(), files });
    await log.append(entry(1));
    expect(await verifyAudit(place.audit)).toMatchObject({ ok: true, rows: 2 });
  });

  it('rotates segments and goes on in the last one when opened again', async () => {
    await using place = await temporaryDirectory();
    await writeLog(place.audit, 12);
    await writeLog(place.audit, 12);
    const segments = (await readdir(place.audit)).filter((name) => name.endsWith('.jsonl'));
    expect(segments.length).toBeGreaterThan(3);
    expect(await verifyAudit(place.audit)).toMatchObject({ ok: true, rows: 25 });
    expect((await rowsOf(place.audit)).map((row) => row.seq)).toEqual(Array.from({ length: 25 }, (_, n) => n));
  });

  it('reads from a row on without the segments before it, and filters', async () => {
    await using place = await temporaryDirectory();
    await writeLog(place.audit, 12);
    await tamper(place.audit, 1, (lines) => lines.map((line) => line.replace('"n":1', '"n":7')));
    const rows = await collect(readAudit(place.audit, { fromSeq: 11 }));
    expect(rows.map((row) => row.seq)).toEqual([11, 12]);
    expect(await collect(readAudit(place.audit, { fromSeq: 11, userId: 'jordan' }))).toEqual([]);
    await expect(rowsOf(place.audit)).rejects.toMatchObject({ reason: 'audit_chain_broken' });
  });

  it('lets one writer at a time into a directory', async () => {
    await using place = await temporaryDirectory();
    const options = { directory: place.audit, clock: fixedClock() };
    const first = await AuditLog.open(options);
    await expect(AuditLog.open(options)).rejects.toMatchObject({ kind: 'failed_precondition', reason: 'audit_in_use' });
    expect((await first.append(entry(1))).seq).toBe(1);
    await first.close();
    await using second = await AuditLog.open(options);
    expect((await second.append(entry(2))).seq).toBe(2);
  });

  it('refuses rows once closed, and closes twice without harm', async () => {
    await using place = await temporaryDirectory();
    const log = await AuditLog.open({ directory: place.audit, clock: fixedClock() });
    const underWay = log.append(entry(1));
    await log.close();
    await log.close();
    expect((await underWay).seq).toBe(1);
    expect(log.writable()).toBe(false);
    await expect(log.append(entry(2))).rejects.toMatchObject({ kind: 'unavailable', reason: 'audit_unavailable' });
  });

  it('keeps its files from other users', async () => {
    await using place = await temporaryDirectory();
    await writeLog(place.audit, 1);
    expect((await stat(place.audit)).mode & 0o777).toBe(0o700);
    expect((await stat(join(place.audit, '00000001.jsonl'))).mode & 0o777).toBe(0o600);
  });

  it('writes control characters, bad UTF-16 and huge texts as one printable line', async () => {
    await using place = await temporaryDirectory();
    const nasty = 'a\r\nb\0c\u001b[31md\u009be\u2028f\u202eg\ud800h';
    {
      await using log = await AuditLog.open({ directory: place.audit, clock: fixedClock() });
      await log.append(entry(1, { user_id: nasty, payload: { nasty, [nasty]: 1, huge: 'ü'.repeat(5_000_000) } }));
    }
    const text = await readFile(join(place.audit, '00000001.jsonl'), 'utf8');
    expect(text.split('\n')).toHaveLength(3);
    expect(text.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Zl}\u202e]/u);
    expect(Buffer.byteLength(text)).toBeLessThan(20_000);
    const row = (await rowsOf(place.audit))[1];
    expect(row?.user_id).toBe(nasty.toWellFormed());
    expect(row?.payload['nasty']).toBe(nasty.toWellFormed());
    expect(row?.payload['huge']).toMatch(/^ü+… \[truncated: 10000000 bytes, sha256 [0-9a-f]{64}\]$/);
  });
});

describe('opening after a crash', () => {
  it('moves a last line cut at any byte into a side file and records that in a row', async () => {
    await using reference = await temporaryDirectory();
    await using whole = await AuditLog.open({ directory: reference.audit, clock: fixedClock() });
    await whole.append(entry(1));
    const before = (await stat(join(reference.audit, '00000001.jsonl'))).size;
    await whole.append(entry(2));
    const content = await readFile(join(reference.audit, '00000001.jsonl'));
    for (let size = before + 1; size < content.length; size += 1) {
      await using place = await temporaryDirectory();
      await writeLog(place.audit, 1);
      const segment = join(place.audit, '00000001.jsonl');
      await appendFile(segment, content.subarray(before, size));
      expect(await verifyAudit(place.audit)).toMatchObject({
        ok: false,
        firstBad: { seq: 2, line: 3, problem: 'torn' },
      });
      await using log = await AuditLog.open({ directory: place.audit, clock: fixedClock() });
      expect((await log.append(entry(2))).seq).toBe(3);
      const side = await readFile(join(place.audit, '00000001.2.torn'));
      expect(side.equals(content.subarray(before, size))).toBe(true);
      const rows = await rowsOf(place.audit);
      const piece = { side_file: '00000001.2.torn', bytes: side.length };
      expect(rows[2]).toMatchObject({ seq: 2, kind: 'audit.torn', payload: { pieces: [piece] } });
      expect(await verifyAudit(place.audit)).toMatchObject({ ok: true, rows: 4 });
    }
  }, 120_000);

  it('takes blocks that were never filled for torn, even with good rows behind them', async () => {
    await using place = await temporaryDirectory();
    await writeLog(place.audit, 2);
    await tamper(place.audit, 1, ([genesis = '', first = '', second = '']) => [
      genesis,
      '\0'.repeat(first.length),
      second,
    ]);
    await using log = await AuditLog.open({ directory: place.audit, clock: fixedClock() });
    expect(log.head().seq).toBe(1);
    expect((await rowsOf(place.audit)).map((row) => row.kind)).toEqual(['audit.genesis', 'audit.torn']);
  });

  it('records a side file whose row was lost to a second crash', async () => {
    await using place = await temporaryDirectory();
    await writeLog(place.audit, 1);
    const segment = join(place.audit, '00000001.jsonl');
    await appendFile(segment, '{"torn');
    const files = new ControlledFiles();
    // Dies right after the cut: when the row about it is about to be written to the segment.
    files.before = (operation, index) => {
      const cut = files.operations.lastIndexOf('truncate');
      if (operation === 'write' && cut >= 0 && cut < index) throw new Error('power lost');
    };
    await expect(AuditLog.open({ directory: place.audit, clock: fixedClock(), files })).rejects.toBeInstanceOf(
      CoralError,
    );
    expect(await verifyAudit(place.audit)).toMatchObject({ ok: true, rows: 2 });
    await using log = await AuditLog.open({ directory: place.audit, clock: fixedClock() });
    expect(log.head().seq).toBe(2);
    const [, , recorded] = await rowsOf(place.audit);
    expect(recorded).toMatchObject({
      kind: 'audit.torn',
      payload: { pieces: [{ side_file: '00000001.2.torn', bytes: 6 }] },
    });
    await log.close();
    await using again = await AuditLog.open({ directory: place.audit, clock: fixedClock() });
    expect(again.head().seq).toBe(2);
  });

  it('refuses a broken chain, naming the row, and leaves the files as they are', async () => {
    await using place = await temporaryDirectory();
    await writeLog(place.audit, 2);
    const segment = join(place.audit, '00000001.jsonl');
    await tamper(place.audit, 1, (lines) => lines.map((line) => line.replace('"n":1', '"n":9')));
    const evidence = await readFile(segment);
    await expect(AuditLog.open({ directory: place.audit, clock: fixedClock() })).rejects.toMatchObject({
      kind: 'failed_precondition',
      reason: 'audit_chain_broken',
      where: '00000001.jsonl:2',
      message: expect.stringContaining('row 1'),
    });
    expect((await readFile(segment)).equals(evidence)).toBe(true);
  });
});
