/**
 * What telemetry may not do to whoever reads an answer: move a terminal's cursor, recolour or hide text, turn the reading
 * direction, or carry words that people do not see and models do. C0 but \n and \t, DEL, C1, soft hyphen, bidi marks and
 * isolates, zero-width, line and paragraph separators, BOM, interlinear marks, language tags, variation selectors of the
 * supplement, lone surrogates. Joiners (U+200C, U+200D) and U+FE00–FE0F stay: scripts and emoji need them.
 */
const hostile =
  // oxlint-disable-next-line no-control-regex, no-misleading-character-class -- finding them is the point
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}\u{e0100}-\u{e01ef}\p{Surrogate}]/gu;

/** Nearly every text: nothing but printable ASCII. */
const harmless = /^[\x20-\x7e]*$/;

/** The same text with such characters shown: C0 as control pictures (␛), the rest by number (⟨U+202E⟩). */
export function visibleText(text: string): string {
  return harmless.test(text) ? text : text.replace(hostile, show);
}

function show(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return '␡';
  return `⟨U+${code.toString(16).toUpperCase().padStart(4, '0')}⟩`;
}
