import { describe, expect, it } from 'vitest';
import { envelope, openStage, serve } from './testing/stage.js';
import { visibleText } from './visible-text.js';

const tricks = [
  '\u001b[31mred\u001b[0m',
  '\u001b]8;;https://evil.test\u0007link\u001b]8;;\u0007',
  'one\rtwo',
  'bell\u0007',
  '\u009b2J',
  '\u202eexe.gnp',
  '\u2066isolate\u2069',
  'zero\u200bwidth\ufeff',
  'a\u{e0041}\u{e0042}tag',
  'smuggled\u{e0101}',
  '\u2028line',
  'half \ud800 pair',
  'soft\u00adhyphen',
];

describe('visibleText', () => {
  it.each(tricks)('shows %j instead of sending it', (text) => {
    const shown = visibleText(text);
    expect(shown).not.toBe(text);
    expect(shown).toMatch(/[\u2400-\u2421]|⟨U\+[0-9A-F]{4,5}⟩/);
    expect(visibleText(shown)).toBe(shown);
  });

  it('leaves the text of people alone', () => {
    for (const text of ['día\tuno\nzwei', 'می\u200cخواهم', '👩\u200d💻 ❤\ufe0f', '日本語', 'GET /work', '⟨U+202E⟩']) {
      expect(visibleText(text)).toBe(text);
    }
  });

  it('is how every text of an answer leaves, names of fields included, and errors too', async () => {
    await using stage = await openStage();
    const who = await stage.lessee('alex');
    for (const trick of tricks) {
      serve(stage, 'coral_get_health', () =>
        Promise.resolve(envelope({ services: [{ service: trick, [trick]: [trick] }] })),
      );
      const { text, body } = await stage.path.call(stage.request(who));
      const shown = visibleText(trick);
      expect(body).toMatchObject({ data: { services: [{ service: shown, [shown]: [shown] }] } });
      expect(text).toBe(JSON.stringify(body));
      const error = await stage.path.call(stage.request(who, { args: { [trick]: 1 } }));
      expect(error.text).toContain('unknown_argument');
      expect(visibleText(error.text)).toBe(error.text);
    }
  });
});
