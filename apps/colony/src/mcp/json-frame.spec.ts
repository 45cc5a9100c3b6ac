import { describe, expect, it } from 'vitest';
import { maxFrameBytes, maxFrameDepth, readFrame } from './json-frame.js';

const bytes = (text: string): Buffer => Buffer.from(text);

describe('readFrame', () => {
  it('reads one message', () => {
    expect(readFrame(bytes('{"jsonrpc":"2.0","id":1}'))).toEqual({ message: { jsonrpc: '2.0', id: 1 } });
  });

  it.each([
    ['nothing', '', 'not_json'],
    ['half a message', '{"jsonrpc":', 'not_json'],
    ['a batch', '[{"jsonrpc":"2.0"}]', 'not_an_object'],
    ['a bare value', '"x"', 'not_an_object'],
    ['null', 'null', 'not_an_object'],
    ['deep arrays', '['.repeat(10_000) + ']'.repeat(10_000), 'too_deep'],
    ['deep objects', '{"a":'.repeat(maxFrameDepth + 1) + '1' + '}'.repeat(maxFrameDepth + 1), 'too_deep'],
    ['a large message', `{"a":"${'x'.repeat(maxFrameBytes)}"}`, 'too_large'],
  ])('refuses %s', (_name, text, problem) => {
    expect(readFrame(bytes(text))).toEqual({ problem });
  });

  it('refuses bytes that are no UTF-8', () => {
    expect(readFrame(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]))).toEqual({ problem: 'not_json' });
  });

  it('does not count brackets inside strings', () => {
    const text = `{"a":"${'['.repeat(1_000)}\\"${'{'.repeat(1_000)}"}`;
    expect(readFrame(bytes(text)).problem).toBeUndefined();
  });

  it('leaves prototypes alone', () => {
    const frame = readFrame(bytes('{"__proto__":{"polluted":1}}'));
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
    expect(frame).toEqual({ message: JSON.parse('{"__proto__":{"polluted":1}}') });
  });
});
