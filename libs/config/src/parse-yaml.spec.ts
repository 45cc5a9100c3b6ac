import { CoralError } from '@coral/errors';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  byteSizeField,
  durationField,
  maxAliases,
  maxConfigBytes,
  maxDepth,
  maxListedProblems,
  parseYaml,
  parseYamlLocated,
  secretField,
} from './index.js';

const schema = z.strictObject({
  version: z.literal(1).optional(),
  driver: z.enum(['direct', 'wireguard']).optional(),
  limits: z.strictObject({ default_ttl: durationField({ max: 900_000 }).prefault('5m') }).prefault({}),
  size: byteSizeField().optional(),
  names: z.array(z.string()).optional(),
  open: z.record(z.string().regex(/^[a-z]+$/, 'names are lower-case letters'), z.number()).optional(),
  model: z
    .discriminatedUnion('provider', [
      z.strictObject({ provider: z.literal('cloud'), api_key: secretField() }),
      z.strictObject({ provider: z.literal('local'), endpoint: z.string() }),
    ])
    .optional(),
});

function problemOf(text: string): CoralError {
  try {
    parseYaml(text, 'coral.yaml', schema);
  } catch (thrown) {
    if (thrown instanceof CoralError) return thrown;
    throw thrown;
  }
  throw new Error(`was accepted: ${text}`);
}

/** Nine anchors that each name the one before nine times: 9^9 values out of 600 bytes. */
const billionLaughs = [...'bcdefghi'].reduce(
  (text, letter, i) => `${text}\n${letter}: &${letter} [${Array(9).fill(`*${'abcdefgh'[i]}`).join(', ')}]`,
  'a: &a [x, x, x, x, x, x, x, x, x]',
);

describe('parseYaml', () => {
  it('gives typed values, defaults included, frozen all the way down', () => {
    const value = parseYaml('size: 1MB\nnames: [a]\n', 'coral.yaml', schema);
    expect(value).toEqual({ size: 1_000_000, names: ['a'], limits: { default_ttl: 300_000 } });
    expect(() => value.names?.push('b')).toThrow(TypeError);
    expect(Object.isFrozen(value.limits)).toBe(true);
  });

  it('takes an empty document as an empty map', () => {
    expect(parseYaml('', 'coral.yaml', schema).limits.default_ttl).toBe(300_000);
    expect(parseYaml('# nothing yet\n', 'coral.yaml', schema).limits.default_ttl).toBe(300_000);
  });

  it.each<[string, string, string]>([
    ['drivr: direct', 'coral.yaml:1:1', 'drivr: unknown key; did you mean driver?'],
    [
      'limits:\n  default-ttl: 5m',
      'coral.yaml:2:3',
      'limits.default-ttl: unknown key; did you mean limits.default_ttl?',
    ],
    ['# x\ndefault_ttl: 5m', 'coral.yaml:2:1', 'default_ttl: unknown key; it belongs at limits.default_ttl'],
    ['limits:\n  zzzzzz: 5m', 'coral.yaml:2:3', 'limits.zzzzzz: unknown key; known here: default_ttl'],
    [
      'driver: wiregaurd',
      'coral.yaml:1:9',
      'driver: expected one of direct, wireguard, got "wiregaurd"; did you mean wireguard?',
    ],
    ['version: 2', 'coral.yaml:1:10', 'version: expected 1, got a number'],
    ['names: x', 'coral.yaml:1:8', 'names: expected a list, got text'],
    ['names:\n  - a\n  - 3', 'coral.yaml:3:5', 'names[1]: expected text, got a number'],
    ['limits:', 'coral.yaml:1:8', 'limits: expected a map of keys, got nothing'],
    [
      'limits:\n  default_ttl: 300',
      'coral.yaml:2:16',
      'limits.default_ttl: expected a number and a unit (ms, s, m, h, d), for example 90s, 5m or 1h30m, got a number',
    ],
    ['limits:\n  default_ttl: 15m1s', 'coral.yaml:2:16', 'limits.default_ttl: 15m1s is above the most allowed, 15m'],
    [
      'size: 1 megabyte',
      'coral.yaml:1:7',
      'size: expected a whole number and a unit (B, kB, MB, GB, KiB, MiB, GiB), for example 1MB',
    ],
    ['open:\n  a: 1\n  A1: 2', 'coral.yaml:3:3', 'open.A1: names are lower-case letters'],
    [
      'model:\n  provider: clowd',
      'coral.yaml:2:13',
      'model.provider: expected one of cloud, local, got "clowd"; did you mean cloud?',
    ],
    ['model:\n  provider: local', 'coral.yaml:2:3', 'model.endpoint: missing: expected text'],
    [
      'model:\n  provider: cloud\n  api_key: exec://id',
      'coral.yaml:3:12',
      'model.api_key: exec:// is not a reference that Coral reads; nothing was run or opened.',
    ],
    ['size: 1MB\n\nsize: 2MB', 'coral.yaml:3:1', 'size: this key stands here twice, first at line 1'],
    ['limits:\n  "a": 1\n  a: 2', 'coral.yaml:3:3', 'limits.a: this key stands here twice, first at line 2'],
    [
      'a: [1, 2',
      'coral.yaml:1:9',
      'not valid YAML: Flow sequence in block collection must be sufficiently indented and end with a ]',
    ],
    ['limits:\n\tdefault_ttl: 5m', 'coral.yaml:2:1', 'not valid YAML: Tabs are not allowed as indentation'],
    [
      'size: !!binary AAAA',
      'coral.yaml:1:7',
      'tags (words that begin with "!") are not used here; put the value in quotes',
    ],
    ['size: 1MB\n---\nsize: 2MB', 'coral.yaml:2:1', 'a second document begins here; one file holds one document'],
    ['%YAML 1.1\n---\nnames: [yes]', 'coral.yaml:1:1', 'only YAML 1.2 is read here; remove the %YAML line'],
    ['? [a]\n: b', 'coral.yaml:1:3', 'keys must be plain words'],
    ['names: *gone', 'coral.yaml:1:8', 'names: this alias has no anchor above it'],
    ['names: &a [*a]', 'coral.yaml:1:12', 'names[0]: this alias contains itself'],
    [billionLaughs, 'coral.yaml:1:1', `aliases expand more than ${maxAliases} times`],
    ['- a', 'coral.yaml:1:1', 'expected a map of keys, got a list'],
    ['just words', 'coral.yaml:1:1', 'expected a map of keys, got text'],
    [
      '"a\\nb": 1',
      'coral.yaml:1:1',
      '["a\\nb"]: unknown key; known here: version, driver, limits, size, names, open, model',
    ],
  ])('refuses %j at %s', (text, where, problem) => {
    const error = problemOf(text);
    expect(error).toMatchObject({ kind: 'failed_precondition', where });
    expect(error.message.split('\n')[0]).toBe(`${where}: ${problem}`);
    expect(error.next).toBeTruthy();
  });

  it('reports every problem, in the order of the file, and lets the first decide the location', () => {
    const error = problemOf('names: 1\nzzzzzz: 1\nlimits:\n  default_ttl: soon\nsize: 5\n');
    expect(error.where).toBe('coral.yaml:1:8');
    expect(error.message.split('\n').map((line) => line.split(': ')[0])).toEqual([
      'coral.yaml:1:8',
      'coral.yaml:2:1',
      'coral.yaml:4:16',
      'coral.yaml:5:7',
    ]);
  });

  it('counts problems past the list instead of printing megabytes', () => {
    const many = Array.from({ length: 40_000 }, (_, i) => `unknown_number_${i}: 1`).join('\n');
    const lines = problemOf(many).message.split('\n');
    expect(lines).toHaveLength(maxListedProblems + 1);
    expect(lines.at(-1)).toBe(`… and ${40_000 - maxListedProblems} more`);
  });

  it.each([
    '__proto__',
    'constructor',
    'prototype',
    'toString',
    'constructor.prototype',
    'toString.call',
    '__defineGetter__',
  ])('refuses the key %s wherever it stands', (key) => {
    for (const text of [`${key}: 1`, `open:\n  ${key}: 1`, `open: {? "${key}" : 1}`]) {
      expect(problemOf(text).message).toContain('this name is reserved by JavaScript');
    }
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  it('refuses more aliases than the limit, at the first one too many', () => {
    const text = `names: &n [a]\nopen: [\n${'  *n,\n'.repeat(maxAliases + 1)}]`;
    expect(problemOf(text).where).toBe(`coral.yaml:${maxAliases + 3}:3`);
  });

  it('still takes a modest number of aliases', () => {
    const value = parseYaml('names: &n [a, b]\nopen: {}\n', 'coral.yaml', schema);
    expect(value.names).toEqual(['a', 'b']);
    const twice = z.strictObject({ a: z.array(z.string()), b: z.array(z.string()) });
    expect(parseYaml('a: &x [p]\nb: *x\n', 'coral.yaml', twice).b).toEqual(['p']);
  });

  it('locates what an alias brought in at the alias', () => {
    const twice = z.strictObject({ a: z.array(z.unknown()), b: z.array(z.string()) });
    expect(() => parseYaml('a: &x [1]\nb: *x\n', 'f.yaml', twice)).toThrow(
      'f.yaml:2:4: b[0]: expected text, got a number',
    );
  });

  it.each([
    ['lists', '['.repeat(50_000)],
    ['maps', '{a: '.repeat(5_000)],
    ['closed lists', `names: ${'['.repeat(maxDepth + 1)}${']'.repeat(maxDepth + 1)}`],
  ])('refuses deeply nested %s instead of running out of stack', (_name, text) => {
    expect(problemOf(text).message).toMatch(/nested (too deeply|more than 32 deep)/);
  });

  it('refuses more than 1 MiB, and reads a large file of many keys in linear time', () => {
    expect(problemOf(`a: ${'x'.repeat(maxConfigBytes)}`).message).toContain('larger than 1048576 bytes');
    const open = Array.from({ length: 60_000 }, (_, i) => `  k${i}: 1`).join('\n');
    const loose = z.strictObject({ open: z.record(z.string(), z.number()) });
    const started = performance.now();
    expect(Object.keys(parseYaml(`open:\n${open}`, 'coral.yaml', loose).open)).toHaveLength(60_000);
    // The parser's own duplicate check takes minutes here: 1.8e9 comparisons.
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  it('never quotes a secret, whatever is wrong with the file', () => {
    const key = 'sk-live-4242';
    for (const text of [
      `model:\n  provider: cloud\n  api_key: [${key}]`,
      `model:\n  provider: cloud\n  api_key: "${key}\\q"`,
      `model:\n  provider: cloud\n  api_key: '${key}'x`,
      `model:\n  provider: cloud\n  api_key: !${key} x`,
      `model:\n  provider: cloud\n  api_key: |${key}`,
      `model:\n  provider: cloud\n  api_key: *${key}`,
      `model:\n  provider: cloud\n  api_key: @${key}`,
      `model:\n  provider: cloud\n  api_key: ${key}\n ${key}: x`,
      `model: ${key}`,
    ]) {
      const error = problemOf(text);
      expect(JSON.stringify([error.message, error.next, error.where, String(error.cause)])).not.toContain('4242');
    }
  });

  it('refuses a key that went away in the words of the schema, and never suggests it', () => {
    const moved = z.strictObject({ air: z.number().optional(), ai: z.never('moved to the laptop').optional() });
    expect(() => parseYaml('air: 1\nai:\n  x: 1', 'f.yaml', moved)).toThrow('f.yaml:2:1: ai: moved to the laptop');
    expect(() => parseYaml('ai_: 1', 'f.yaml', moved)).toThrow('f.yaml:1:1: ai_: unknown key; did you mean air?');
    expect(() => parseYaml('', 'f.yaml', moved)).not.toThrow();
  });

  it('passes on the reason and the next step that a rule of the schema gives', () => {
    const ruled = z.strictObject({ a: z.number() }).superRefine((_value, ctx) => {
      ctx.addIssue({
        code: 'custom',
        path: ['a'],
        message: 'no',
        params: { reason: 'too_old', next: 'Do so.', at_key: true },
      });
    });
    expect(() => parseYaml('a:  1', 'f.yaml', ruled)).toThrow(
      expect.objectContaining({ reason: 'too_old', next: 'Do so.', where: 'f.yaml:1:1', message: 'f.yaml:1:1: a: no' }),
    );
  });

  it('tells where a value stands after parsing, and the nearest parent of a default', () => {
    const { locate } = parseYamlLocated('names:\n  - a\n  - b\nlimits: {}\n', 'f.yaml', schema);
    expect(locate(['names', 1])).toEqual({ line: 3, col: 5 });
    expect(locate(['limits', 'default_ttl'])).toEqual({ line: 4, col: 9 });
  });
});
