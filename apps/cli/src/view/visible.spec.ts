import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { visible, visibleJson, visibleLine } from './visible.js';

describe('text from outside', () => {
  it.each([
    ['a terminal escape', '\u001b[2Jgone', '␛[2Jgone'],
    ['a bell and a carriage return', 'ok\u0007\rNO', 'ok␇␍NO'],
    ['an 8-bit control sequence', '\u009b31m', '⟨U+009B⟩31m'],
    ['a turned reading direction', 'exe.\u202egnp', 'exe.⟨U+202E⟩gnp'],
    ['invisible tag letters', 'a\u{e0041}', 'a⟨U+E0041⟩'],
    ['a zero-width space', 'pay\u200bment', 'pay⟨U+200B⟩ment'],
    ['a lone surrogate', 'x\ud800y', 'x⟨U+D800⟩y'],
  ])('shows %s instead of sending it', (_what, text, shown) => {
    expect(visible(text)).toBe(shown);
  });

  it('leaves ordinary text, newlines and emoji alone', () => {
    const text = 'p95 150→450 ms\n\tnaïve 漢字 👩‍💻';
    expect(visible(text)).toBe(text);
    expect(visibleLine('a\nb\tc')).toBe('a␊b c');
  });

  it('is the same text to a program that reads the JSON', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const json = visibleJson({ text });
        // oxlint-disable-next-line no-control-regex
        expect(json).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u200b\u202a-\u202e\u2066-\u2069\u{e0000}-\u{e007f}]/u);
        expect(JSON.parse(json)).toEqual({ text });
      }),
    );
    expect(visibleJson({ a: ['exe.\u202egnp'] }, 2)).toBe('{\n  "a": [\n    "exe.\\u202egnp"\n  ]\n}');
  });

  it('never lets a control character through', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        // oxlint-disable-next-line no-control-regex
        expect(visibleLine(text)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
      }),
    );
  });
});
