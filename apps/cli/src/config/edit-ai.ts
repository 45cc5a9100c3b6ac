import { readFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { parseYaml } from '@coral/config';
import type { ProviderName } from '@coral/llm';
import { isMap, isScalar, parse, parseDocument, Scalar, type Document, type YAMLMap } from 'yaml';
import { builtinAi, type AiConfig } from './ai-config.js';
import { cliConfigSchema, loadIfThere } from './cli-config.js';

/** Keys that `llm configure` sets, in the order in which new ones are written. */
const written = ['provider', 'api_key', 'model', 'endpoint', 'api'] as const;

/** How one provider is reached and run: of no use to another. */
const ofOneProvider = [
  'api_key',
  'model',
  'endpoint',
  'api',
  'max_tokens',
  'temperature',
  'context_length',
  'model_path',
  'threads',
] as const;

export interface AiChange {
  provider: ProviderName;
  /** `env://NAME`; null takes a key out of the file, because it is kept elsewhere. */
  api_key?: string | null;
  model?: string;
  endpoint?: string;
  api?: 'responses' | 'chat';
}

export interface PlannedEdit {
  /** Of the whole file, to be written. */
  text: string;
  /** What it will say. */
  ai: AiConfig;
  /** Keys that go: those of the former provider, or one that is kept elsewhere. */
  removed: string[];
}

/**
 * What the file would be with this `ai` block; nothing is written. Comments, order and every byte that has nothing to do
 * with the change stay. Errors: those of reading the file, so that one that would be refused is never rewritten.
 */
export async function planAi(file: string, change: AiChange): Promise<PlannedEdit> {
  const before = await loadIfThere(file, cliConfigSchema);
  const text = before ? await readFile(file, 'utf8') : '';
  const switches = before?.ai !== undefined && before.ai.provider !== change.provider;
  const values = new Map<string, string | null>(switches ? ofOneProvider.map((key) => [key, null]) : []);
  for (const key of written) {
    const value = change[key];
    if (value !== undefined) values.set(key, value);
  }
  const document = parseDocument(text);
  const removed = [...values].flatMap(([key, value]) => (value === null && document.hasIn(['ai', key]) ? [key] : []));
  const after = rewrite(text, values);
  const { ai = builtinAi } = parseYaml(after, file, cliConfigSchema);
  return { text: after, ai, removed };
}

/** The new text by small changes to the old one; where its shape is unusual, by the YAML library's own printer. */
function rewrite(text: string, values: ReadonlyMap<string, string | null>): string {
  const document: Document = parseDocument(text);
  const spliced = splice(text, document, values);
  if (!isMap(document.contents)) document.contents = document.createNode({});
  for (const [key, value] of values) {
    if (value === null) document.deleteIn(['ai', key]);
    else document.setIn(['ai', key], value);
  }
  const isRight = spliced !== undefined && isDeepStrictEqual(parseQuietly(spliced), document.toJS());
  return isRight ? spliced : document.toString({ lineWidth: 0 });
}

function parseQuietly(text: string): unknown {
  try {
    return parse(text);
  } catch {
    return undefined; // Not equal to anything: the printer's text is taken.
  }
}

interface Splice {
  from: number;
  to: number;
  text: string;
}

function splice(text: string, document: Document, values: ReadonlyMap<string, string | null>): string | undefined {
  const { contents } = document;
  const block = document.get('ai', true);
  if (block === undefined) return contents === null || isBlockMap(contents) ? append(text, values) : undefined;
  if (!isBlockMap(contents) || !isBlockMap(block)) return undefined;
  const splices: Splice[] = [];
  let anchor = 0;
  let indent = '';
  const added = new Map<number, string>();
  const order = [...new Set<string>([...written, ...values.keys()])];
  for (const key of order) {
    const value = values.get(key);
    const place = placeOf(block, key, text);
    if (place === undefined) {
      if (typeof value === 'string') added.set(anchor, `${added.get(anchor) ?? ''}${indent}${key}: ${quoted(value)}\n`);
      continue;
    }
    if (value === null) {
      splices.push({ from: place.lineStart, to: place.lineEnd, text: '' });
      continue;
    }
    if (typeof value === 'string') splices.push({ from: place.from, to: place.to, text: place.style(value) });
    anchor = place.lineEnd;
    indent = text.slice(place.lineStart, place.keyStart);
  }
  for (const [at, lines] of added) splices.push({ from: at, to: at, text: afterBreak(text, at, lines) });
  return splices
    .toSorted((a, b) => b.from - a.from)
    .reduce((result, { from, to, text: middle }) => result.slice(0, from) + middle + result.slice(to), text);
}

/** The last line of a file may have no end. */
function afterBreak(text: string, at: number, lines: string): string {
  return at === 0 || text[at - 1] === '\n' ? lines : `\n${lines}`;
}

function append(text: string, values: ReadonlyMap<string, string | null>): string {
  const lines = [...values].flatMap(([key, value]) => (value === null ? [] : [`  ${key}: ${quoted(value)}\n`]));
  return `${text}${afterBreak(text, text.length, `ai:\n${lines.join('')}`)}`;
}

function isBlockMap(node: unknown): node is YAMLMap {
  return isMap(node) && node.flow !== true;
}

interface Place {
  lineStart: number;
  keyStart: number;
  /** Of the value. */
  from: number;
  to: number;
  /** After the line's break. */
  lineEnd: number;
  style(value: string): string;
}

function placeOf(block: YAMLMap, key: string, text: string): Place | undefined {
  const pair = block.items.find((item) => isScalar(item.key) && item.key.value === key);
  if (!isScalar(pair?.key) || !isScalar(pair.value) || !pair.key.range || !pair.value.range) return undefined;
  const [keyStart] = pair.key.range;
  const [from, to] = pair.value.range;
  const lineBreak = text.indexOf('\n', to);
  const isPlain = pair.value.type === Scalar.PLAIN;
  return {
    lineStart: text.lastIndexOf('\n', keyStart - 1) + 1,
    keyStart,
    from,
    to,
    lineEnd: lineBreak < 0 ? text.length : lineBreak + 1,
    style: (value) => (isPlain && /^[a-z][a-z0-9-]*$/.test(value) ? value : quoted(value)),
  };
}

/** A JSON string is a YAML one. */
function quoted(value: string): string {
  return JSON.stringify(value);
}
