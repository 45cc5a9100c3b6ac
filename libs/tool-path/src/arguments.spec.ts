import { CoralError } from '@coral/errors';
import { toolNames, toolSchemas } from '@coral/tools';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkIdempotencyKey, maxArgumentBytes, maxArgumentDepth, parseArguments, toolNamed } from './arguments.js';

function nested(levels: number): unknown {
  let value: unknown = 1;
  for (let n = 0; n < levels; n += 1) value = { a: value };
  return value;
}

function reasonOf(work: () => unknown): string | undefined {
  try {
    work();
  } catch (thrown) {
    return thrown instanceof CoralError ? thrown.reason : String(thrown);
  }
  return undefined;
}

/** Arguments of coral_query whose JSON text has exactly so many bytes. */
function argumentsOf(bytes: number): { query: string; scope: string } {
  const frame = Buffer.byteLength(JSON.stringify({ query: '', scope: '' }));
  return { query: 'q'.repeat(1_000), scope: 's'.repeat(bytes - frame - 1_000) };
}

describe('arguments', () => {
  it('are read as the schema reads them, with defaults, from nothing too', () => {
    expect(parseArguments('coral_query', { query: 'x' })).toEqual({ query: 'x', time_range: '1h' });
    expect(parseArguments('coral_get_topology', undefined)).toEqual({ format: 'json', time_range: '1h' });
  });

  it('are a copy: what is changed afterwards is not what was checked', () => {
    const raw = { query: 'SELECT 1' };
    const args = parseArguments('coral_query', raw);
    raw.query = 'DROP TABLE spans';
    expect(args).toMatchObject({ query: 'SELECT 1' });
  });

  it('may nest up to the limit and not one level more', () => {
    const at = (levels: number): string | undefined => reasonOf(() => parseArguments('coral_query', nested(levels)));
    expect(at(maxArgumentDepth)).toBe('unknown_argument');
    expect(at(maxArgumentDepth + 1)).toBe('arguments_too_deep');
    expect(at(10_000)).toBe('arguments_too_deep');
  });

  it('may have 64 KiB and not one byte more', () => {
    const at = (bytes: number): string | undefined => reasonOf(() => parseArguments('coral_query', argumentsOf(bytes)));
    expect(at(maxArgumentBytes)).toBe('bad_argument'); // only the schema's own limit on scope
    expect(at(maxArgumentBytes + 1)).toBe('arguments_too_large');
  });

  it.each(['{"__proto__":{"admin":true}}', '{"query":"x","constructor":1}', '{"a":[{"prototype":{}}]}'])(
    'may not reach behind objects: %s',
    (text) => {
      expect(reasonOf(() => parseArguments('coral_query', JSON.parse(text)))).toBe('forbidden_key');
      expect(Reflect.get({}, 'admin')).toBeUndefined();
    },
  );

  it('that are misspelt are told the nearest real one', () => {
    expect(() => parseArguments('coral_query', { query: 'x', timerange: '1h' })).toThrow('did you mean time_range?');
    expect(() => toolNamed('coral_querry')).toThrow('did you mean coral_query?');
    expect(reasonOf(() => toolNamed('__proto__'))).toBe('unknown_tool');
    expect(reasonOf(() => toolNamed('toString'))).toBe('unknown_tool');
  });

  it('are either exactly what the schema takes or refused by an error that says where', () => {
    const anyArguments = fc.oneof(
      fc.jsonValue(),
      fc.record({ query: fc.oneof(fc.string(), fc.jsonValue()), scope: fc.jsonValue(), time_range: fc.string() }),
    );
    fc.assert(
      fc.property(fc.constantFrom(...toolNames), anyArguments, (tool, raw) => {
        let error: unknown;
        try {
          const args = parseArguments(tool, raw);
          expect(toolSchemas[tool].parse(args)).toEqual(args);
        } catch (thrown) {
          error = thrown;
        }
        const refused = error as CoralError | undefined;
        expect(refused?.kind ?? 'invalid_argument').toBe('invalid_argument');
        expect(refused === undefined || Boolean(refused.where && refused.next)).toBe(true);
      }),
    );
  });
});

describe('an idempotency key', () => {
  it.each([undefined, 'a', 'x'.repeat(128), '4b4d-…'.slice(0, 4)])('may be %j', (key) => {
    expect(reasonOf(() => checkIdempotencyKey(key))).toBeUndefined();
  });

  it.each(['', 'a b', 'a\n', 'ü', 'x'.repeat(129)])('may not be %j', (key) => {
    expect(reasonOf(() => checkIdempotencyKey(key))).toBe('bad_idempotency_key');
  });
});
