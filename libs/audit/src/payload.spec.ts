import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson, type JsonValue } from './canonical-json.js';
import { beforeGenesis, decodeRow, encodeRow, sealRow } from './audit-row.js';
import { capPayload, maxFieldBytes, maxPayloadDepth, maxStringBytes } from './payload.js';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const anyText = fc.string({ unit: 'binary' });
const anyJson = fc.jsonValue({ stringUnit: 'binary' });

describe('canonicalJson', () => {
  it('has one text per value, whatever the order of keys', () => {
    expect(canonicalJson({ b: [1, { d: null, c: true }], a: 'x', 10: 1, 9: 2 })).toBe(
      '{"10":1,"9":2,"a":"x","b":[1,{"c":true,"d":null}]}',
    );
  });

  it('prints numbers as RFC 8785 does', () => {
    const published = [0, -0, 5e-324, 1.7976931348623157e308, 9007199254740992, 1e21, 0.000001, 333333333.3333333];
    expect(canonicalJson(published)).toBe(
      '[0,0,5e-324,1.7976931348623157e+308,9007199254740992,1e+21,0.000001,333333333.3333333]',
    );
  });

  it('is JSON of the same value, and canonical once parsed again', () => {
    fc.assert(
      fc.property(anyJson, (value) => {
        const text = canonicalJson(value as JsonValue);
        expect(canonicalJson(JSON.parse(text) as JsonValue)).toBe(text);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it('keeps a key named __proto__ as data', () => {
    const value = JSON.parse('{"__proto__":{"admin":true}}') as JsonValue;
    expect(canonicalJson(value)).toBe('{"__proto__":{"admin":true}}');
    expect(canonicalJson(capPayload({ value }).payload)).toBe('{"value":{"__proto__":{"admin":true}}}');
  });
});

describe('capPayload', () => {
  it('keeps a string of exactly the limit and cuts one byte more, with length and hash of the whole', () => {
    const fits = 'x'.repeat(maxStringBytes);
    expect(capPayload({ fits }).payload['fits']).toBe(fits);
    const over = `${fits}y`;
    expect(capPayload({ over }).payload['over']).toBe(
      `${fits}… [truncated: ${maxStringBytes + 1} bytes, sha256 ${sha256(over)}]`,
    );
  });

  it('cuts between characters', () => {
    const text = `x${'😀'.repeat(maxStringBytes)}`;
    const cut = String(capPayload({ text }).payload['text']);
    expect(cut.isWellFormed()).toBe(true);
    expect(cut).not.toContain('\ufffd');
    expect(cut.startsWith(`x${'😀'.repeat(4_095)}…`)).toBe(true);
  });

  it('replaces a field over its limit by length, hash and start', () => {
    const big = Array.from({ length: 40_000 }, (_, n) => n);
    const text = JSON.stringify(big);
    expect(Buffer.byteLength(text)).toBeGreaterThan(maxFieldBytes);
    expect(capPayload({ big, small: 1 }).payload).toEqual({
      big: { truncated: true, bytes: text.length, sha256: sha256(text), start: text.slice(0, maxStringBytes) },
      small: 1,
    });
  });

  it('takes what JSON cannot say, and nesting without end', () => {
    let deep: JsonValue = 1;
    for (let n = 0; n < 10_000; n += 1) deep = [deep];
    const { payload } = capPayload({ deep, big: 10n, none: undefined, odd: Number.NaN, symbol: Symbol('x') });
    expect(payload).toMatchObject({ big: '10', odd: null, symbol: 'Symbol(x)' });
    expect(payload).not.toHaveProperty('none');
    expect(JSON.stringify(payload['deep'])).toBe(
      `${'['.repeat(maxPayloadDepth)}"[nested too deep]"${']'.repeat(maxPayloadDepth)}`,
    );
  });

  it('makes any payload a row that reads back as it is', () => {
    fc.assert(
      fc.property(fc.dictionary(anyText, anyJson), anyText, (payload, user) => {
        const entry = { kind: 'admin', user_id: user.toWellFormed(), agent_id: null } as const;
        const capped = capPayload(payload);
        const whole = { ...entry, payload: capped.payload };
        const { row, line } = sealRow(whole, beforeGenesis, 'id', 'at', capped.text);
        const text = encodeRow(row);
        expect(line).toBe(text);
        expect(text.indexOf('\n')).toBe(text.length - 1);
        expect(decodeRow(Buffer.from(text.slice(0, -1)))).toEqual({ row });
      }),
    );
  });
});

describe('the hash of a row', () => {
  it('is the one that other programs compute', () => {
    // printf '%s' '<text>' | sha256sum
    const { row } = sealRow(
      { kind: 'admin', user_id: 'alex', agent_id: null, payload: { b: 1, a: 'ü' } },
      beforeGenesis,
      '00000000-0000-4000-8000-000000000000',
      '2026-01-01T00:00:00.000Z',
    );
    const text =
      '{"agent_id":null,"at":"2026-01-01T00:00:00.000Z","id":"00000000-0000-4000-8000-000000000000","kind":"admin",' +
      `"payload":{"a":"ü","b":1},"prev":"${'0'.repeat(64)}","seq":0,"user_id":"alex"}`;
    expect(row.hash).toBe(sha256(text));
    expect(row.hash).toBe('e10c157e163bfe49cf01645499440ff525976933ddbedca313b45121dccfd91c');
  });

  it('covers every other field', () => {
    const { row } = sealRow({ kind: 'admin', user_id: 'a', agent_id: 'b', payload: { n: 1 } }, beforeGenesis, 'i', 't');
    const others = { seq: 1, id: 'x', at: 'x', kind: 'x', user_id: null, agent_id: null, payload: {}, prev: 'x' };
    for (const [field, value] of Object.entries(others)) {
      const line = encodeRow({ ...row, [field]: value }).trimEnd();
      expect({ field, ...decodeRow(Buffer.from(line)) }).toEqual({
        field,
        problem: 'the hash does not fit the content',
      });
    }
  });
});
