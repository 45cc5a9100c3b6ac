import { asFields, asInteger, asList, asText, cleanText, type Fields } from './otlp-values.js';

export type AttributeValue = string | number | boolean | null | AttributeValue[] | { [key: string]: AttributeValue };
/** Has no prototype, so a key such as `__proto__` is a key like any other. */
export type Attributes = Record<string, AttributeValue>;

export interface AttributeCaps {
  /** Attributes per span, resource or record. */
  maxCount: number;
  /** Longest value, bytes of UTF-8. */
  maxValueBytes: number;
}

export const maxKeyLength = 256;
/** Longest JSON text of all attributes of one thing together; further ones are dropped. */
export const maxAttributesLength = 65_536;
const maxDepth = 8;

/** Counts what the caps took away, for the metrics. */
export interface CapCounter {
  cut: number;
}

/** Reads `KeyValue[]` as one plain object, safe for JSON.stringify and for a JSON column. The first of duplicate keys wins, as in the OpenTelemetry collector. */
export function readAttributes(value: unknown, caps: AttributeCaps, counter: CapCounter): Attributes {
  const into = Object.create(null) as Attributes;
  let count = 0;
  let length = 0;
  for (const item of asList(value)) {
    const pair = asFields(item);
    const key = asText(pair?.['key'], maxKeyLength);
    if (pair === undefined || key === undefined || key === '' || key in into) continue;
    const read = capValue(readAnyValue(pair['value'], 0), caps, counter);
    const size = key.length + (typeof read === 'string' ? read.length : typeof read === 'object' ? sizeOf(read) : 8);
    if (count >= caps.maxCount || length + size > maxAttributesLength) {
      counter.cut++;
      continue;
    }
    into[key] = read;
    count++;
    length += size;
  }
  return into;
}

function sizeOf(value: AttributeValue): number {
  return JSON.stringify(value).length;
}

function capValue(value: AttributeValue, caps: AttributeCaps, counter: CapCounter): AttributeValue {
  if (typeof value === 'string') return capText(value, caps.maxValueBytes, counter);
  if (typeof value !== 'object' || value === null) return value;
  const text = JSON.stringify(value);
  return Buffer.byteLength(text) > caps.maxValueBytes ? capText(text, caps.maxValueBytes, counter) : value;
}

export function capText(text: string, maxBytes: number, counter: CapCounter): string {
  if (text.length * 3 <= maxBytes || Buffer.byteLength(text) <= maxBytes) return text;
  counter.cut++;
  // A character cut in half at the end decodes to U+FFFD; it is dropped.
  return Buffer.from(text)
    .subarray(0, maxBytes)
    .toString('utf8')
    .replace(/\uFFFD+$/, '');
}

/** An `AnyValue` as the value it holds. Integers beyond 2^53 stay exact, as text. */
export function readAnyValue(value: unknown, depth: number): AttributeValue {
  const any = asFields(value);
  if (any === undefined) return null;
  if (typeof any['stringValue'] === 'string') return cleanText(any['stringValue']);
  if (typeof any['boolValue'] === 'boolean') return any['boolValue'];
  if (any['intValue'] !== undefined) return readInteger(any['intValue']);
  if (any['doubleValue'] !== undefined) return readDouble(any['doubleValue']);
  if (typeof any['bytesValue'] === 'string') return cleanText(any['bytesValue']);
  if (depth >= maxDepth) return null;
  const list = asFields(any['arrayValue']);
  if (list !== undefined) return asList(list['values']).map((one) => readAnyValue(one, depth + 1));
  const pairs = asFields(any['kvlistValue']);
  return pairs === undefined ? null : readPairs(pairs, depth + 1);
}

function readPairs(list: Fields, depth: number): AttributeValue {
  const into = Object.create(null) as Attributes;
  for (const item of asList(list['values'])) {
    const pair = asFields(item);
    const key = asText(pair?.['key'], maxKeyLength);
    if (pair !== undefined && key !== undefined && !(key in into)) into[key] = readAnyValue(pair['value'], depth);
  }
  return into;
}

function readInteger(value: unknown): AttributeValue {
  const whole = asInteger(value);
  if (whole === undefined) return null;
  const number = Number(whole);
  return Number.isSafeInteger(number) ? number : whole.toString();
}

function readDouble(value: unknown): AttributeValue {
  // OTLP/JSON writes NaN and the infinities as strings; JSON columns can hold them only so.
  if (typeof value === 'string') return cleanText(value);
  if (typeof value !== 'number') return null;
  return Number.isFinite(value) ? value : String(value);
}

export function textAttribute(attributes: Attributes, ...keys: string[]): string {
  for (const key of keys) {
    const value = attributes[key];
    if (typeof value === 'string' && value !== '') return value;
    if (typeof value === 'number') return String(value);
  }
  return '';
}

export function numberAttribute(attributes: Attributes, ...keys: string[]): number | undefined {
  for (const key of keys) {
    const value = attributes[key];
    const number = typeof value === 'string' && value !== '' ? Number(value) : value;
    if (typeof number === 'number' && Number.isFinite(number)) return number;
  }
  return undefined;
}
