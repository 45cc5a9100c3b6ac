import { randomUUID } from 'node:crypto';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AuditLog } from './audit-log.js';
import { decodeRow, encodeRow, sealRow, type AuditRow } from './audit-row.js';
import { segmentName } from './segment-files.js';
import { entry, fixedClock, tamper, temporaryDirectory, writeLog } from './testing/audit-fixture.js';
import { verifyAudit, type AuditVerdict } from './verify.js';

function decode(line: string): AuditRow {
  const { row } = decodeRow(Buffer.from(line));
  if (!row) throw new Error('not a row');
  return row;
}

const line = (row: AuditRow): string => encodeRow(row).trimEnd();

/** Writes 20 rows in segments of about five, finds where row `seq` stands, and hands its segment to the change. */
async function verdictAfter(
  seq: number,
  change: (lines: string[], at: number) => string[],
): Promise<{ verdict: AuditVerdict; file: string; line: number }> {
  await using place = await temporaryDirectory();
  await writeLog(place.audit, 20);
  for (let ordinal = 1; ; ordinal += 1) {
    const lines = (await readFile(join(place.audit, segmentName(ordinal)), 'utf8')).split('\n').slice(0, -1);
    const at = lines.findIndex((text) => decode(text).seq === seq);
    if (at < 0) continue;
    await tamper(place.audit, ordinal, (all) => change(all, at));
    return { verdict: await verifyAudit(place.audit), file: segmentName(ordinal), line: at + 1 };
  }
}

/** The row with other content and a hash that fits it, as a forger with this code would write it. */
function forged(text: string): string {
  const row = decode(text);
  const head = { seq: row.seq - 1, hash: row.prev };
  return line(sealRow({ ...row, payload: { n: 'forged' } }, head, row.id, row.at).row);
}

describe('verifyAudit', () => {
  it('counts the rows of an untouched log and names its head', async () => {
    await using place = await temporaryDirectory();
    const rows = await writeLog(place.audit, 20);
    expect(await verifyAudit(place.audit)).toEqual({ ok: true, rows: 21, head: rows.at(-1)?.hash, headSeq: 20 });
  });

  const seqs = [0, 1, 4, 7, 13, 19];

  it.each(seqs)('names row %i when it was edited', async (seq) => {
    const { verdict, file, line } = await verdictAfter(seq, (lines, at) =>
      lines.map((text, n) => (n === at ? text.replace(/"at":"2026/, '"at":"2025') : text)),
    );
    expect(verdict).toMatchObject({ ok: false, rows: seq, firstBad: { seq, file, line, problem: 'edited' } });
  });

  it.each(seqs)('names row %i when it was edited and its hash made to fit', async (seq) => {
    const { verdict, file, line } = await verdictAfter(seq, (lines, at) =>
      lines.map((text, n) => (n === at ? forged(text) : text)),
    );
    expect(verdict).toMatchObject({ ok: false, firstBad: { seq, file, line, problem: 'edited' } });
  });

  it.each(seqs)('names row %i when only its spacing was changed', async (seq) => {
    const { verdict } = await verdictAfter(seq, (lines, at) =>
      lines.map((text, n) => (n === at ? text.replace('{', '{ ') : text)),
    );
    expect(verdict).toMatchObject({ ok: false, firstBad: { seq, problem: 'edited' } });
  });

  it.each(seqs)('names row %i when it was deleted', async (seq) => {
    const { verdict } = await verdictAfter(seq, (lines, at) => lines.toSpliced(at, 1));
    expect(verdict).toMatchObject({ ok: false, rows: seq, firstBad: { seq, problem: 'deleted' } });
  });

  it.each([1, 7, 13])('names row %i when it and the next changed places', async (seq) => {
    const { verdict } = await verdictAfter(seq, (lines, at) =>
      lines.toSpliced(at, 2, lines[at + 1] ?? '', lines[at] ?? ''),
    );
    expect(verdict).toMatchObject({ ok: false, rows: seq, firstBad: { seq, problem: 'reordered' } });
  });

  it.each(seqs)('names row %i when a copy of it was inserted behind it', async (seq) => {
    const { verdict, line } = await verdictAfter(seq, (lines, at) => lines.toSpliced(at, 0, lines[at] ?? ''));
    expect(verdict).toMatchObject({ ok: false, firstBad: { seq, line: line + 1, problem: 'inserted' } });
  });

  it.each([1, 7, 13])('names row %i when a forged row took its place in the chain before it', async (seq) => {
    const { verdict } = await verdictAfter(seq, (lines, at) => lines.toSpliced(at, 0, forged(lines[at] ?? '')));
    expect(verdict).toMatchObject({ ok: false, firstBad: { seq, problem: 'inserted' } });
  });

  it('names the row in whose place a line that is no row was inserted', async () => {
    const { verdict } = await verdictAfter(7, (lines, at) => lines.toSpliced(at, 0, `{"note":"${randomUUID()}"}`));
    expect(verdict).toMatchObject({ ok: false, rows: 7, firstBad: { seq: 7, problem: 'inserted' } });
  });

  it('names a missing segment and the first row that stood in it', async () => {
    for (const ordinal of [1, 2, 3]) {
      await using place = await temporaryDirectory();
      await writeLog(place.audit, 20);
      const first = decode((await readFile(join(place.audit, segmentName(ordinal)), 'utf8')).split('\n')[0] ?? '').seq;
      await rm(join(place.audit, segmentName(ordinal)));
      const firstBad = { seq: first, file: segmentName(ordinal), line: 0, problem: 'missing segment' };
      expect(await verifyAudit(place.audit)).toMatchObject({ ok: false, rows: first, firstBad });
    }
  });

  it('finds rows deleted when a segment was removed and the others renamed', async () => {
    await using place = await temporaryDirectory();
    await writeLog(place.audit, 20);
    const first = decode((await readFile(join(place.audit, segmentName(2)), 'utf8')).split('\n')[0] ?? '').seq;
    await rm(join(place.audit, segmentName(2)));
    for (const ordinal of [3, 4]) {
      await rename(join(place.audit, segmentName(ordinal)), join(place.audit, segmentName(ordinal - 1)));
    }
    expect(await verifyAudit(place.audit)).toMatchObject({ ok: false, firstBad: { seq: first, problem: 'deleted' } });
  });

  it('cannot see a log cut off at its end, unless it is held against a head kept elsewhere', async () => {
    const head = { seq: 20, hash: '' };
    await using place = await temporaryDirectory();
    head.hash = (await writeLog(place.audit, 20)).at(-1)?.hash ?? '';
    expect(await verifyAudit(place.audit, { head })).toMatchObject({ ok: true });
    const ordinal = 4;
    await tamper(place.audit, ordinal, (lines) => lines.slice(0, 1));
    for (const later of [5, 6]) await rm(join(place.audit, segmentName(later)), { force: true });
    const short = await verifyAudit(place.audit);
    expect(short.ok).toBe(true);
    expect(await verifyAudit(place.audit, { head })).toMatchObject({
      ok: false,
      firstBad: { seq: short.rows, problem: 'truncated' },
    });
  });

  it('sees a log written anew when it is held against a head kept elsewhere', async () => {
    await using place = await temporaryDirectory();
    await using other = await temporaryDirectory();
    const kept = (await writeLog(place.audit, 5))[2];
    await writeLog(other.audit, 5);
    const verdict = await verifyAudit(other.audit, { head: { seq: 3, hash: kept?.hash ?? '' } });
    expect(verdict).toMatchObject({ ok: false, firstBad: { seq: 3, problem: 'edited' } });
  });

  it('says that there is no log rather than that it is fine', async () => {
    await using place = await temporaryDirectory();
    await expect(verifyAudit(place.audit)).rejects.toMatchObject({ kind: 'not_found', reason: 'audit_not_found' });
    expect(await verifyAudit(place.path)).toMatchObject({
      ok: false,
      rows: 0,
      firstBad: { problem: 'missing segment' },
    });
  });

  it('is not disturbed by a writer at work', async () => {
    await using place = await temporaryDirectory();
    await using log = await AuditLog.open({ directory: place.audit, clock: fixedClock(), segmentBytes: 20_000 });
    let busy = true;
    const writing = (async () => {
      for (let n = 0; n < 1_000; n += 50) {
        await Promise.all(Array.from({ length: 50 }, (_, k) => log.append(entry(n + k))));
      }
      busy = false;
    })();
    let looks = 0;
    while (busy) {
      expect(await verifyAudit(place.audit)).toMatchObject({ ok: true });
      looks += 1;
    }
    await writing;
    expect(looks).toBeGreaterThan(0);
  });
});

describe('one changed byte', () => {
  let place: Awaited<ReturnType<typeof temporaryDirectory>>;
  beforeAll(async () => {
    place = await temporaryDirectory();
    await writeLog(place.audit, 6);
  });
  afterAll(async () => place[Symbol.asyncDispose]());

  it('is found, wherever it is, and the row it is in is named', async () => {
    const byte = fc.record({ at: fc.nat(), change: fc.integer({ min: 1, max: 255 }) });
    await fc.assert(
      fc.asyncProperty(byte, async ({ at, change }) => {
        const file = join(place.audit, segmentName(1));
        const original = await readFile(file);
        const position = at % original.length;
        const seq = original.subarray(0, position).filter((b) => b === 0x0a).length;
        const changed = Buffer.from(original);
        changed[position] = (original[position] ?? 0) ^ change;
        try {
          await writeFile(file, changed);
          expect(await verifyAudit(place.audit)).toMatchObject({ ok: false, rows: seq, firstBad: { seq } });
        } finally {
          await writeFile(file, original);
        }
      }),
      { numRuns: 300 },
    );
  });
});
