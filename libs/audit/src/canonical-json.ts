/** What JSON can say, and nothing else. */
export type JsonValue = null | boolean | number | string | JsonValue[] | { [key: string]: JsonValue };

/** Nesting that no honest row reaches; past it the text is refused before it can exhaust the stack. */
export const maxCanonicalDepth = 128;

/**
 * Printed raw, these would let a caller's text move the cursor of a terminal (C1 controls), end a line in some readers
 * (U+2028, U+2029) or hide and reorder what an auditor sees (bidi, zero width). JSON.stringify escapes C0 only.
 */
const neverRaw = /[\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** Most texts: nothing in them has to be escaped. */
const plain = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

export function quoted(text: string): string {
  if (plain.test(text)) return `"${text}"`;
  return JSON.stringify(text).replace(neverRaw, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/**
 * One text per value: keys sorted by UTF-16 code unit, no spaces, numbers and escapes as ECMAScript prints them
 * (RFC 8785), plus `\u` escapes for characters that deceive a reader. Hashes are taken over this text in UTF-8.
 */
export function canonicalJson(value: JsonValue, depth = 0): string {
  if (depth > maxCanonicalDepth) throw new RangeError(`JSON nested deeper than ${maxCanonicalDepth}`);
  if (typeof value === 'string') return quoted(value);
  if (typeof value === 'number') return Number.isFinite(value) ? String(value === 0 ? 0 : value) : 'null';
  if (value === null || typeof value === 'boolean') return String(value);
  let text = '';
  if (Array.isArray(value)) {
    for (const item of value) text += (text === '' ? '' : ',') + canonicalJson(item, depth + 1);
    return `[${text}]`;
  }
  // Built by hand: each row of the audit is printed here, within the call that waits for it.
  for (const key of Object.keys(value).sort()) {
    text += `${text === '' ? '' : ','}${quoted(key)}:${canonicalJson(value[key] ?? null, depth + 1)}`;
  }
  return `{${text}}`;
}

/** The same of an object whose members are canonical texts already. */
export function canonicalObject(members: ReadonlyMap<string, string>): string {
  let text = '';
  for (const key of [...members.keys()].sort()) {
    text += `${text === '' ? '' : ','}${quoted(key)}:${members.get(key)}`;
  }
  return `{${text}}`;
}
