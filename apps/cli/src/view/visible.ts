/**
 * What text from outside may not do to a terminal: move the cursor, ring, recolour, hide, or turn the reading direction.
 * Such characters are shown instead of sent: C0 as control pictures (␛), the rest by number (⟨U+202E⟩).
 * Covered: C0 but \n and \t, DEL, C1, bidi marks and isolates, zero-width, line and paragraph separators, BOM,
 * interlinear marks, language tags, lone surrogates. Joiners (U+200C, U+200D) stay: scripts and emoji need them.
 */
const hostile =
  // oxlint-disable-next-line no-control-regex
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}\p{Surrogate}]/gu;

export function visible(text: string): string {
  return text.replace(hostile, show);
}

/** As {@link visible}, on one line: a newline is shown too (␊), a tab becomes a space. */
export function visibleLine(text: string): string {
  return visible(text).replaceAll('\n', '␊').replaceAll('\t', ' ');
}

/** A value as JSON that a terminal may show, too: the same characters stand in it as `\uXXXX`, so programs read the same text. */
export function visibleJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(hostile, escaped);
}

function escaped(character: string): string {
  const units = Array.from({ length: character.length }, (_, i) => character.charCodeAt(i));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
}

function show(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return '␡';
  return `⟨U+${code.toString(16).toUpperCase().padStart(4, '0')}⟩`;
}
