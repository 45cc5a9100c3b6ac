import { CoralError } from '@coral/errors';
import { describe, expect, it } from 'vitest';
import { maxArgsBytes, readArguments } from './call-arguments.js';

describe('arguments of a tool', () => {
  it('are words of the form name=value, whatever the value holds', () => {
    expect(readArguments([], undefined)).toEqual({});
    expect(readArguments(['query=a = b, {"c"}', 'scope=', '__proto__=x'], undefined)).toEqual(
      Object.fromEntries([
        ['query', 'a = b, {"c"}'],
        ['scope', ''],
        ['__proto__', 'x'],
      ]),
    );
  });

  it('are one JSON object, values of any type', () => {
    expect(readArguments([], '{"query": "x", "n": 1, "deep": [null]}')).toEqual({ query: 'x', n: 1, deep: [null] });
  });

  it.each<[string, string[], string | undefined, string]>([
    ['a word without =', ['latency'], undefined, 'latency'],
    ['a word without a name', ['=x'], undefined, '=x'],
    ['a name given twice', ['a=1', 'a=2'], undefined, 'a'],
    ['words beside --args', ['a=1'], '{}', '--args'],
    ['broken JSON', [], '{"a":', '--args'],
    ['an array', [], '[]', '--args'],
    ['null', [], 'null', '--args'],
    ['more than a colony takes', [], `{"a":"${'x'.repeat(maxArgsBytes)}"}`, '--args'],
  ])('are refused as %s', (_name, words, json, where) => {
    let thrown: unknown;
    try {
      readArguments(words, json);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(CoralError);
    expect(thrown).toMatchObject({ kind: 'invalid_argument', reason: 'bad_tool_arguments', where });
  });
});
