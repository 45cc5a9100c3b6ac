import { createHash } from 'node:crypto';
import { canonicalJson, canonicalObject, quoted, type JsonValue } from './canonical-json.js';

/** A longer string keeps its first bytes and gains its length and the SHA-256 of the whole. Bytes of UTF-8. */
export const maxStringBytes = 16 * 1024;
/** A payload field whose JSON is longer becomes `{truncated, bytes, sha256, start}`. Bytes of UTF-8. */
export const maxFieldBytes = 64 * 1024;
/** Fields of a payload are chosen by our own code; more than this is a mistake there, and the rest is dropped by name. */
export const maxPayloadFields = 64;
/** Containers nested deeper are replaced by a word, so that a row can always be written and read back. */
export const maxPayloadDepth = 40;

function sha256(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex');
}

/** The longest start of the text that fits and ends between two characters. */
function startOf(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text, 'utf8').subarray(0, maxBytes);
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes, { stream: true });
}

/** Well-formed UTF-16, and short enough for a row. */
export function capString(text: string): string {
  if (fits(text)) return text;
  const whole = text.toWellFormed();
  const bytes = Buffer.byteLength(whole, 'utf8');
  if (bytes <= maxStringBytes) return whole;
  return `${startOf(whole, maxStringBytes)}… [truncated: ${bytes} bytes, sha256 ${sha256(whole)}]`;
}

/** Takes `unknown`, since a malformed call's arguments are recorded too: what JSON cannot say is written as its text. */
function capValue(value: unknown, depth: number): JsonValue {
  if (typeof value === 'string') return capString(value);
  if (typeof value === 'number') return Number.isFinite(value) ? value + 0 : null; // + 0: JSON has no -0
  if (typeof value === 'boolean' || value === null || value === undefined) return value ?? null;
  if (typeof value !== 'object') return capString(String(value));
  if (depth >= maxPayloadDepth) return '[nested too deep]';
  if (Array.isArray(value)) return value.map((item) => capValue(item, depth + 1));
  const capped: Record<string, JsonValue> = {};
  for (const [key, member] of Object.entries(value)) {
    if (member !== undefined) setOwn(capped, key.toWellFormed(), capValue(member, depth + 1));
  }
  return capped;
}

/** A key `__proto__` is data here like any other. */
function setOwn<T>(object: Record<string, T>, key: string, value: T): void {
  if (key !== '__proto__') object[key] = value;
  else Object.defineProperty(object, key, { value, enumerable: true, writable: true, configurable: true });
}

/** Canonical JSON of a payload that fits as it is; undefined for any other. Nearly every row is such a one. */
function textAsItIs(payload: Readonly<Record<string, unknown>>): string | undefined {
  const keys = Object.keys(payload);
  if (keys.length > maxPayloadFields) return undefined;
  let text = '';
  for (const key of keys.sort()) {
    if (payload[key] === undefined) continue;
    const field = fits(key) ? valueAsItIs(payload[key], 0) : undefined;
    // A character of UTF-16 is at most three bytes of UTF-8.
    if (field === undefined || field.length * 3 > maxFieldBytes) return undefined;
    text += `${text === '' ? '' : ','}${quoted(key)}:${field}`;
  }
  return `{${text}}`;
}

function valueAsItIs(value: unknown, depth: number): string | undefined {
  if (typeof value === 'string') return fits(value) ? quoted(value) : undefined;
  if (typeof value === 'number') return Number.isFinite(value) && !Object.is(value, -0) ? String(value) : undefined;
  if (typeof value === 'boolean' || value === null) return String(value);
  if (typeof value !== 'object' || depth >= maxPayloadDepth) return undefined;
  let text = '';
  if (Array.isArray(value)) {
    for (const item of value) {
      const inner = valueAsItIs(item, depth + 1);
      if (inner === undefined) return undefined;
      text += text === '' ? inner : `,${inner}`;
    }
    return `[${text}]`;
  }
  if (Object.getPrototypeOf(value) !== Object.prototype) return undefined;
  for (const key of Object.keys(value).sort()) {
    const member = fits(key) ? valueAsItIs((value as Record<string, unknown>)[key], depth + 1) : undefined;
    if (member === undefined) return undefined;
    text += `${text === '' ? '' : ','}${quoted(key)}:${member}`;
  }
  return `{${text}}`;
}

/** A character of UTF-16 is at most three bytes of UTF-8. */
function fits(text: string): boolean {
  return text.length * 3 <= maxStringBytes && text.isWellFormed();
}

interface Field {
  value: JsonValue;
  /** Canonical. */
  text: string;
}

function capField(field: unknown): Field {
  const value = capValue(field, 0);
  const text = canonicalJson(value);
  // A character of UTF-16 is at most three bytes of UTF-8.
  if (text.length * 3 <= maxFieldBytes) return { value, text };
  const bytes = Buffer.byteLength(text, 'utf8');
  if (bytes <= maxFieldBytes) return { value, text };
  const cut = { truncated: true, bytes, sha256: sha256(text), start: startOf(text, maxStringBytes) };
  return { value: cut, text: canonicalJson(cut) };
}

export interface CappedPayload {
  payload: Record<string, JsonValue>;
  /** Its canonical JSON, which had to be printed anyway to see whether it fits. */
  text: string;
}

/**
 * The payload as a row can hold it: bounded, well-formed, plain JSON. Never throws for data, however strange. What needs no
 * change is not copied: it must not be changed afterwards. Undefined fields are absent.
 */
export function capPayload(given: Readonly<Record<string, unknown>>): CappedPayload {
  const text = textAsItIs(given);
  return text === undefined ? cutToFit(given) : { payload: given as Record<string, JsonValue>, text };
}

function cutToFit(given: Readonly<Record<string, unknown>>): CappedPayload {
  const payload: Record<string, JsonValue> = {};
  const texts = new Map<string, string>();
  let dropped = 0;
  for (const [key, field] of Object.entries(given)) {
    if (field === undefined) continue;
    if (texts.size >= maxPayloadFields) dropped += 1;
    else set(capString(key), capField(field));
  }
  if (dropped > 0) set('dropped_fields', capField(dropped));
  return { payload, text: canonicalObject(texts) };

  function set(key: string, { value, text }: Field): void {
    setOwn(payload, key, value);
    texts.set(key, text);
  }
}
