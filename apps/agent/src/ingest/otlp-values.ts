/**
 * Readers for single values of an OTLP message, whichever encoding it came in: from protobuf integers are bigint, from
 * OTLP/JSON they are numbers or decimal strings (OTLP 1.9, "JSON Protobuf Encoding"). `undefined` means: wrong or absent.
 */
export type Fields = Record<string, unknown>;

export function asFields(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}

export function asList(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Well-formed text without NUL, of at most `cap` UTF-16 units: what columns and JSON functions of the database accept. */
export function asText(value: unknown, cap: number): string | undefined {
  return typeof value === 'string' ? cleanText(value.length > cap ? value.slice(0, cap) : value) : undefined;
}

export function cleanText(text: string): string {
  const formed = text.isWellFormed() ? text : text.toWellFormed();
  return formed.includes('\0') ? formed.replaceAll('\0', '\uFFFD') : formed;
}

export function asInteger(value: unknown): bigint | undefined {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'string') return /^-?\d{1,20}$/.test(value) ? BigInt(value) : undefined;
  return typeof value === 'number' && Number.isInteger(value) ? BigInt(value) : undefined;
}

/** OTLP/JSON writes ids as hexadecimal of either case, not as base64 like the rest of proto3 JSON. */
export function asId(value: unknown, bytes: number): string | undefined {
  if (typeof value !== 'string' || value.length !== bytes * 2 || !/^[0-9a-f]+$/i.test(value)) return undefined;
  return /^0+$/.test(value) ? undefined : value.toLowerCase();
}

/** OTLP/JSON asks for numbers; names (`SPAN_KIND_SERVER`, `SERVER`) are understood too. Unknown ones are 0. */
export function asEnum(value: unknown, names: readonly string[], prefix: string): number {
  if (typeof value === 'number') return Number.isInteger(value) && value >= 0 && value < names.length ? value : 0;
  if (typeof value !== 'string') return 0;
  if (/^\d+$/.test(value)) return asEnum(Number(value), names, prefix);
  return Math.max(0, names.indexOf(value.startsWith(prefix) ? value.slice(prefix.length) : value));
}

/** JSON text of a message; 64-bit integers become decimal strings, as OTLP/JSON writes them. */
export function toJsonText(value: unknown): string {
  const text = JSON.stringify(value, (_key, one: unknown) => {
    if (typeof one === 'bigint') return one.toString();
    if (typeof one === 'number' && !Number.isFinite(one)) return String(one);
    return typeof one === 'string' ? cleanText(one) : one;
  });
  return text ?? 'null';
}
