import fc from 'fast-check';
import type { JsonValue } from '@coral/audit';
import { CoralError } from '@coral/errors';
import { describe, expect, it } from 'vitest';
import { capSize, type PlainEnvelope } from './cap-size.js';
import { envelope, openStage, serve } from './testing/stage.js';

const bytesOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value), 'utf8');
const plain = (data: JsonValue): PlainEnvelope => ({ ...envelope(), data }) as unknown as PlainEnvelope;

interface Shape {
  data: Record<string, JsonValue[]>;
  truncation: { truncated: boolean; cursor?: string; note?: string };
}
const shapeOf = (value: PlainEnvelope): Shape => value as unknown as Shape;

/** An envelope of exactly so many bytes, with many rows of this text. */
function sized(bytes: number, text: string): PlainEnvelope {
  const frame = bytesOf(plain({ rows: [''] }));
  const count = Math.floor((bytes - frame) / (bytesOf(text) + 1));
  const rows = Array.from({ length: count }, () => text);
  rows.push('x'.repeat(bytes - bytesOf(plain({ rows: [...rows, ''] }))));
  const made = plain({ rows });
  if (bytesOf(made) !== bytes) throw new Error(`${bytesOf(made)} bytes, not ${bytes}`);
  return made;
}

function attempt(work: () => PlainEnvelope): PlainEnvelope | CoralError {
  try {
    return work();
  } catch (thrown) {
    if (thrown instanceof CoralError) return thrown;
    throw thrown;
  }
}

describe('an answer', () => {
  it.each([
    ['ASCII', 'row'],
    ['two bytes a letter', 'größe'],
    ['four bytes a letter', '😀😀'],
    ['escapes', '"\\\n'],
  ])('is left alone at exactly the limit and shortened at one byte more: %s', (_what, text) => {
    for (const limit of [3_000, 3_001, 3_002, 3_003, 3_004]) {
      const fits = sized(limit, text);
      expect(capSize(fits, 'coral_query', limit)).toBe(fits);
      const over = sized(limit + 1, text);
      const capped = capSize(over, 'coral_query', limit);
      expect(bytesOf(capped)).toBeLessThanOrEqual(limit);
      const { data, truncation } = shapeOf(capped);
      const all = shapeOf(over).data['rows'] ?? [];
      const kept = data['rows'] ?? [];
      expect(kept).toEqual(all.slice(0, kept.length));
      expect(kept.length).toBeLessThan(all.length);
      expect(truncation).toEqual({
        truncated: true,
        note: expect.stringContaining(`first ${kept.length} of ${all.length} rows`),
      });
    }
  });

  it('is exactly 1 MiB or shorter by a row, never broken', () => {
    const limit = 1_048_576;
    const fits = sized(limit, 'größe und 😀');
    expect(bytesOf(capSize(fits, 'coral_fetch_live', limit))).toBe(limit);
    const capped = capSize(sized(limit + 1, 'größe und 😀'), 'coral_fetch_live', limit);
    expect(bytesOf(capped)).toBeLessThanOrEqual(limit);
    expect(bytesOf(capped)).toBeGreaterThan(limit - 1_000);
  });

  it('keeps as many rows as fit, whatever they are', () => {
    const anyRow = fc.jsonValue({ stringUnit: 'binary', maxDepth: 2 });
    fc.assert(
      fc.property(
        fc.array(anyRow, { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 700, max: 2_000 }),
        (rows, limit) => {
          const whole = plain({ rows: rows as JsonValue[] });
          const capped = attempt(() => capSize(whole, 'coral_query', limit));
          if (capped instanceof CoralError) return capped.reason === 'response_too_large' && bytesOf(whole) > limit;
          expect(bytesOf(capped)).toBeLessThanOrEqual(limit);
          const { data, truncation } = shapeOf(capped);
          const kept = data['rows']?.length ?? 0;
          expect(truncation.truncated).toBe(kept < rows.length);
          if (!truncation.truncated) return true;
          const note = truncation.note?.replace(`first ${kept} of`, `first ${kept + 1} of`);
          const oneMore = { ...capped, data: { rows: rows.slice(0, kept + 1) }, truncation: { ...truncation, note } };
          return (kept + 1 === rows.length ? bytesOf(whole) : bytesOf(oneMore)) > limit;
        },
      ),
    );
  });

  it('loses rows of its longest list, and never the columns of a table', () => {
    const columns = Array.from({ length: 30 }, (_, n) => ({ name: `column-${n}`, type: 'VARCHAR' }));
    const table = shapeOf(
      capSize(plain({ kind: 'table', columns, rows: [[1], [2], ['x'.repeat(2_000)]] }), 'coral_query', 2_600),
    );
    expect(table.data).toEqual({ kind: 'table', columns, rows: [[1], [2]] });
    const nodes = Array.from({ length: 3 }, (_, n) => ({ id: `n-${n}` }));
    const edges = Array.from({ length: 50 }, (_, n) => ({ from: 'a', to: `n-${n}` }));
    const graph = shapeOf(capSize(plain({ format: 'json', nodes, edges }), 'coral_get_topology', 1_200));
    expect(graph.data['nodes']).toEqual(nodes);
    expect(graph.data['edges']?.length).toBeGreaterThan(0);
    expect(graph.truncation.note).toContain('edges');
  });

  it('says how to narrow, keeps the note of the tool and drops its cursor, which points past rows that are gone', () => {
    const truncation = { truncated: true, cursor: 'after-100', note: 'The first 100 rows.' };
    const whole = { ...plain({ rows: Array.from({ length: 100 }, () => 'x'.repeat(50)) }), truncation };
    const { truncation: after } = shapeOf(capSize(whole, 'coral_fetch_live', 2_000));
    expect(after.cursor).toBeUndefined();
    expect(after.note).toMatch(
      /^The first 100 rows\. Only the first \d+ of 100 rows fit into 2000 bytes\. Ask for less: fewer columns/,
    );
  });

  it.each<[string, JsonValue]>([
    ['one row too large', { rows: ['x'.repeat(5_000), 'y'] }],
    ['one text too large', { format: 'graphviz', text: 'x'.repeat(5_000) }],
    ['no data at all', 'x'.repeat(5_000)],
  ])('is refused with a way out when nothing of it would be left: %s', (_what, data) => {
    expect(() => capSize(plain(data), 'coral_query', 2_000)).toThrow(
      expect.objectContaining({ kind: 'resource_exhausted', next: expect.stringContaining('Ask for less') }),
    );
  });

  it('is measured after redaction, and its size is what the row says', async () => {
    await using stage = await openStage({ maxResponseBytes: 2_000 });
    const rows = Array.from({ length: 20 }, () => ({ password: 'x'.repeat(500), n: 1 }));
    serve(stage, 'coral_query', () => Promise.resolve(envelope({ rows })));
    const who = await stage.lessee('alex');
    const answer = await stage.path.call(stage.request(who, { name: 'coral_query', args: { query: 'x' } }));
    expect(answer).toMatchObject({ isError: false, body: { truncation: { truncated: false } } });
    const [, outcome] = await stage.rows();
    expect(outcome?.payload['response_size_bytes']).toBe(Buffer.byteLength(answer.text));
  });
});
