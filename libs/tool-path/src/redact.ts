import type { JsonValue } from '@coral/audit';
import { BadToolRules } from './tool-path.errors.js';
import { visibleText } from './visible-text.js';

export const redacted = '[redacted]';
/** Nesting of answers, and of JSON text inside strings inside JSON text. */
const maxDepth = 64;
const maxTextDepth = 8;
/** What is known of the name of a field. */
interface Name {
  secret: boolean;
  /** As readers see it. */
  shown: string;
}

/** Key names remembered with their verdict; answers repeat few names often. */
const maxRemembered = 10_000;
const maxRememberedLength = 256;

/** `apiKey`, `api-key`, `API_KEY`, `x.api.key` → words in lower case. */
function wordsOf(name: string): string[] {
  return name
    .normalize('NFKC')
    .replace(/([\p{Ll}\p{N}])(\p{Lu})/gu, '$1 $2')
    .replace(/(\p{Lu})(\p{Lu}\p{Ll})/gu, '$1 $2')
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== '');
}

function targetOf(pattern: string): string {
  const last = pattern.slice(pattern.lastIndexOf('.') + 1);
  const words = wordsOf(last);
  if (words.length === 0 || last.includes('*')) {
    throw new BadToolRules(
      'mcp_server.data_filtering.redact_fields',
      `${JSON.stringify(pattern)} does not end in the name of a field.`,
      'Write it as "*.password".',
    );
  }
  return words.join('');
}

/**
 * Replaces the values of fields by name. Of a pattern (`*.password`) the last segment counts, at any depth, and it fits a
 * name whose last words spell it: `*.api_key` fits `apiKey`, `API-KEY`, `http.request.header.x-api-key`. Names are
 * object keys, columns of tables, `key` or `name` of key-value pairs, and keys inside JSON text in strings.
 * A secret under another name (a column alias, say) is not recognised.
 * With `forReaders`, texts and names also leave in visible characters only; rows of the audit keep what was sent.
 */
export class Redactor {
  readonly #targets: ReadonlySet<string>;
  readonly #longestTarget: number;
  readonly #remembered = new Map<string, Name>();
  readonly #shown: (text: string) => string;

  constructor(patterns: readonly string[], use?: 'forReaders') {
    this.#shown = use === 'forReaders' ? visibleText : (text) => text;
    this.#targets = new Set(patterns.map(targetOf));
    this.#longestTarget = Math.max(0, ...[...this.#targets].map((target) => target.length));
  }

  isSecret(name: string): boolean {
    return this.#named(name).secret;
  }

  #named(name: string): Name {
    const known = this.#remembered.get(name);
    if (known !== undefined) return known;
    const verdict = { secret: this.#endsInTarget(wordsOf(name)), shown: this.#shown(name) };
    if (this.#remembered.size >= maxRemembered) this.#remembered.clear();
    if (name.length <= maxRememberedLength) this.#remembered.set(name, verdict);
    return verdict;
  }

  #endsInTarget(words: readonly string[]): boolean {
    let tail = '';
    for (const word of words.toReversed()) {
      tail = word + tail;
      if (this.#targets.has(tail)) return true;
      if (tail.length > this.#longestTarget) return false;
    }
    return false;
  }

  /** A redacted copy as plain JSON; the value itself is left as it is. */
  redact(value: unknown, depth = 0, textDepth = 0): JsonValue {
    if (typeof value === 'string') return this.#shown(this.redactText(value, textDepth));
    if (value === null || value === undefined) return null;
    if (typeof value === 'boolean') return value;
    if (typeof value === 'number') return Number.isFinite(value) ? value : null;
    if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString();
    if (typeof value !== 'object') return null;
    if (depth > maxDepth) return '[nested too deep]';
    if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
    if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
    const go = (member: unknown): JsonValue => this.redact(member, depth + 1, textDepth);
    if (Array.isArray(value)) return value.map(go);
    const hidden = this.#hiddenColumns(value);
    const pair = this.#isSecretPair(value);
    const clean: { [key: string]: JsonValue } = {};
    for (const key of Object.keys(value)) {
      const member: unknown = Reflect.get(value, key);
      if (member === undefined) continue;
      const { secret, shown } = this.#named(key);
      if (secret || (pair && key === 'value')) setOwn(clean, shown, redacted);
      else if (hidden && key === 'rows' && Array.isArray(member)) {
        setOwn(
          clean,
          shown,
          member.map((row) => hideCells(row, hidden, go)),
        );
      } else setOwn(clean, shown, go(member));
    }
    return clean;
  }

  /** `{key: 'password', value: …}`: how DuckDB prints maps and OTLP prints attributes. */
  #isSecretPair(value: object): boolean {
    if (!('value' in value)) return false;
    const named = [Reflect.get(value, 'key'), Reflect.get(value, 'name')];
    return named.some((name) => typeof name === 'string' && this.isSecret(name));
  }

  /** Positions of secret columns when the object is a table; undefined when it is none or has none. */
  #hiddenColumns(value: object): ReadonlySet<number> | undefined {
    if (!('columns' in value && Array.isArray(value.columns) && 'rows' in value)) return undefined;
    const names = value.columns.map((column: unknown) =>
      typeof column === 'object' && column !== null && 'name' in column ? String(column.name) : String(column),
    );
    const hidden = new Set(names.flatMap((name, at) => (this.isSecret(name) ? [at] : [])));
    return hidden.size > 0 ? hidden : undefined;
  }

  /** Text is left alone unless it is, or looks like, JSON that names a secret. */
  redactText(text: string, textDepth = 0): string {
    // A quote: JSON text printed as a JSON string, as attributes are that were encoded twice.
    if (isWordy(text.charCodeAt(0)) || !/^\s*[{["]/.test(text)) return text;
    const parsed = textDepth < maxTextDepth ? parseJson(text) : undefined;
    if (parsed === undefined) return this.#mentionsSecret(text) ? redacted : text;
    if (typeof parsed.value === 'object' || typeof parsed.value === 'string') {
      const clean = this.redact(parsed.value, 0, textDepth + 1);
      // Kept byte for byte when there is nothing to hide.
      return JSON.stringify(clean) === JSON.stringify(parsed.value) ? text : JSON.stringify(clean);
    }
    return text;
  }

  /** For text that looks like JSON and is not: cut off, nested too often, or printed by DuckDB (`{'password': x}`, `{k=v}`). */
  #mentionsSecret(text: string): boolean {
    // The lookbehind keeps it linear: a name is tried from its first letter only.
    const names = text.matchAll(/(?<![\p{L}\p{N}_.$-])([\p{L}\p{N}_.$-]+)\\*["']?\s*[:=]/gu);
    return [...names].some(([, name = '']) => this.isSecret(name));
  }
}

/** An ASCII letter: most texts begin with one. */
function isWordy(code: number): boolean {
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x7a;
}

/** A key `__proto__` is data here like any other. */
function setOwn(object: { [key: string]: JsonValue }, key: string, value: JsonValue): void {
  if (key !== '__proto__') object[key] = value;
  else Object.defineProperty(object, key, { value, enumerable: true, writable: true, configurable: true });
}

function hideCells(row: unknown, hidden: ReadonlySet<number>, go: (cell: unknown) => JsonValue): JsonValue {
  if (!Array.isArray(row)) return go(row);
  return row.map((cell: unknown, at) => (hidden.has(at) ? redacted : go(cell)));
}

function parseJson(text: string): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return undefined;
  }
}
