import { createHash } from 'node:crypto';
import { canonicalJson, type JsonValue } from './canonical-json.js';

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
  // A character of UTF-16 is at most three bytes of UTF-8.
  if (text.length * 3 <= maxStringBytes && text.isWellFormed()) return text;
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
  // fromEntries defines own properties, so a key `__proto__` is data here like any other.
  const members: [string, JsonValue][] = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .map(([key, member]) => [key.toWellFormed(), capValue(member, depth + 1)]);
  return Object.fromEntries(members);
}

/** A character of UTF-16 becomes at most six bytes (`\\u202e`): true only when there is no need to look closer. */
function fitsFor(value: JsonValue): boolean {
  if (typeof value === 'string') return value.length * 6 < maxFieldBytes;
  return typeof value !== 'object' || value === null || JSON.stringify(value).length * 6 < maxFieldBytes;
}

function capField(value: unknown): JsonValue {
  const capped = capValue(value, 0);
  if (fitsFor(capped)) return capped;
  const text = canonicalJson(capped);
  const bytes = Buffer.byteLength(text, 'utf8');
  if (bytes <= maxFieldBytes) return capped;
  return { truncated: true, bytes, sha256: sha256(text), start: startOf(text, maxStringBytes) };
}

/** The payload as a row can hold it: bounded, well-formed, plain JSON. Never throws for data, however strange. */
export function capPayload(payload: Readonly<Record<string, unknown>>): Record<string, JsonValue> {
  const fields = Object.entries(payload).filter(([, value]) => value !== undefined);
  const kept = fields.slice(0, maxPayloadFields).map(([key, value]) => [capString(key), capField(value)] as const);
  const dropped = fields.length - kept.length;
  return Object.fromEntries(dropped > 0 ? [...kept, ['dropped_fields', dropped] as const] : kept);
}
