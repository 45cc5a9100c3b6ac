/** YAML 1.2.2 text to a plain value whose every part knows its line and column. Duplicates, aliases (3.2.2.2), tags and keys are judged here, before any schema. */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  type Document,
  type YAMLError,
  type YAMLMap,
} from 'yaml';
import type { SourceLocation, YamlPath } from './location.js';
import { badConfig, type Problem } from './problem.js';
import { checkTree } from './yaml-tree.js';

/** Larger files are refused unread: 1 MiB, far above any real configuration. */
export const maxConfigBytes = 1_048_576;
/** Aliases in one file, and how often one anchor may be expanded; stops "billion laughs". */
export const maxAliases = 100;

export interface YamlSource {
  /** An empty document is an empty map. */
  value: unknown;
  /** Where the value at `path` stands; for a missing one, its nearest parent. */
  locate(path: YamlPath): SourceLocation;
  /** Where the last key of `path` stands. */
  locateKey(path: YamlPath): SourceLocation;
  /** What is written at `path`, in words, never the text itself: it may be a secret. */
  describe(path: YamlPath): string | undefined;
}

export function readYaml(text: string, file: string): YamlSource {
  const start = { line: 1, col: 1 };
  if (Buffer.byteLength(text) > maxConfigBytes) {
    throw badConfig(file, [{ at: start, path: [], text: `larger than ${maxConfigBytes} bytes (1 MiB)` }]);
  }
  const lines = new LineCounter();
  const at = (offset: number): SourceLocation => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), col: Math.max(1, col) };
  };
  // uniqueKeys of the parser compares every key with every other; checkTree does it in one pass.
  const document = parseDocument(text, {
    lineCounter: lines,
    uniqueKeys: false,
    stringKeys: true,
    prettyErrors: false,
    resolveKnownTags: false,
    logLevel: 'error',
  });
  const broken = syntaxProblems(document, at);
  if (broken.length > 0) throw badConfig(file, broken);
  const unfit = checkTree(document, at, maxAliases);
  if (unfit.length > 0) throw badConfig(file, unfit);
  return {
    value: expand(document, file) ?? {},
    locate: (path) => at(offsetOf(document, path)),
    locateKey: (path) => at(keyOffsetOf(document, path)),
    describe: (path) => describeNode(nodesAlong(document, path, true).at(path.length)),
  };
}

function syntaxProblems(document: Document.Parsed, at: (offset: number) => SourceLocation): Problem[] {
  // A tag or an odd anchor is only a warning to the parser, yet it would change what a value means.
  const found = [...document.errors, ...document.warnings];
  const tooDeep = found.find((error) => error.code === 'RESOURCE_EXHAUSTION');
  const problems = (tooDeep ? [tooDeep] : found).map((error) => ({
    at: at(error.pos[0]),
    path: [],
    text: syntaxText(error),
  }));
  if (document.directives.yaml.explicit && document.directives.yaml.version !== '1.2') {
    problems.unshift({ at: { line: 1, col: 1 }, path: [], text: 'only YAML 1.2 is read here; remove the %YAML line' });
  }
  return problems;
}

/** The parser's own words, but for those that quote the file: a line of it may hold a secret. */
function syntaxText(error: YAMLError): string {
  switch (error.code) {
    case 'TAG_RESOLVE_FAILED':
      return 'tags (words that begin with "!") are not used here; put the value in quotes';
    case 'UNEXPECTED_TOKEN':
      return 'not valid YAML: unexpected text here; put values with special characters in quotes';
    case 'BAD_DQ_ESCAPE':
      return 'not valid YAML: unknown escape after "\\"; single quotes take the text as it is';
    case 'MULTIPLE_DOCS':
      return 'a second document begins here; one file holds one document';
    case 'NON_STRING_KEY':
      return 'keys must be plain words';
    case 'RESOURCE_EXHAUSTION':
      return 'nested too deeply';
    default:
      return `not valid YAML: ${error.message}`;
  }
}

function expand(document: Document.Parsed, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: maxAliases });
  } catch (thrown) {
    if (!(thrown instanceof ReferenceError)) throw thrown;
    const text = `aliases expand more than ${maxAliases} times`;
    throw badConfig(file, [{ at: { line: 1, col: 1 }, path: [], text }]);
  }
}

interface Step {
  node: unknown;
  key?: unknown;
}

/** The nodes from the root down `path`, as far as the document goes. */
function nodesAlong(document: Document.Parsed, path: YamlPath, throughAliases: boolean): Step[] {
  const steps: Step[] = [{ node: document.contents }];
  for (const part of path) {
    const last = steps.at(-1)?.node;
    const parent = throughAliases && isAlias(last) ? last.resolve(document) : last;
    const next = childOf(parent, part);
    if (!next) break;
    steps.push(next);
  }
  return steps;
}

function childOf(parent: unknown, part: string | number): Step | undefined {
  if (isSeq(parent) && typeof part === 'number' && part in parent.items) return { node: parent.items[part] };
  if (!isMap(parent)) return undefined;
  return stepsOf(parent).get(String(part));
}

/** Looked up once per problem: without an index, a map of many bad keys would cost their number squared. */
const indexes = new WeakMap<YAMLMap, ReadonlyMap<string, Step>>();

function stepsOf(map: YAMLMap): ReadonlyMap<string, Step> {
  const known = indexes.get(map);
  if (known) return known;
  const entries = map.items.flatMap((pair): [string, Step][] =>
    isScalar(pair.key) ? [[String(pair.key.value), { node: pair.value, key: pair.key }]] : [],
  );
  const made = new Map(entries);
  indexes.set(map, made);
  return made;
}

function startOf(node: unknown): number | undefined {
  const ranged = isScalar(node) || isMap(node) || isSeq(node) || isAlias(node) ? node.range : undefined;
  return ranged?.[0];
}

/** What an alias brings in is located at the alias: that is the line to edit first. */
function offsetOf(document: Document.Parsed, path: YamlPath): number {
  const last = nodesAlong(document, path, false).findLast((step) => startOf(step.node) !== undefined);
  return startOf(last?.node) ?? 0;
}

function keyOffsetOf(document: Document.Parsed, path: YamlPath): number {
  const steps = nodesAlong(document, path, false);
  const key = steps.length === path.length + 1 ? startOf(steps.at(-1)?.key) : undefined;
  return key ?? offsetOf(document, path);
}

function describeNode(step: Step | undefined): string | undefined {
  const node = step?.node;
  if (step === undefined) return undefined;
  if (isMap(node)) return 'a map';
  if (isSeq(node)) return 'a list';
  if (isAlias(node)) return 'an alias';
  const value = isScalar(node) ? node.value : node;
  if (value === null || value === undefined) return 'nothing';
  if (typeof value === 'string') return 'text';
  return typeof value === 'boolean' ? 'true or false' : 'a number';
}
