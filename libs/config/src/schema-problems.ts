import type { core, z } from 'zod';
import { formatPath, type YamlPath } from './location.js';
import { nearest } from './nearest.js';
import { maxListedProblems, type Problem } from './problem.js';
import { knownKeys, pathsEndingIn } from './schema-keys.js';
import type { YamlSource } from './yaml-source.js';

/** zod's issues as problems a person can mend: each at its line, in our words, without quoting unknown values. */
export function schemaProblems(issues: readonly core.$ZodIssue[], source: YamlSource, schema: z.ZodType): Problem[] {
  const unknown = new Map<string, readonly string[]>();
  for (const issue of issues) {
    if (issue.code === 'unrecognized_keys') unknown.set(formatPath(issue.path), issue.keys);
  }
  return issues
    .filter((issue) => !followsFromUnknownKey(issue, unknown, source))
    .flatMap((issue) => problemsOf(issue, source, schema, []));
}

/** `binding: []` is one mistake: naming the unknown key is enough, that `bindings` is missing would only distract. */
function followsFromUnknownKey(
  issue: core.$ZodIssue,
  unknown: ReadonlyMap<string, readonly string[]>,
  source: YamlSource,
): boolean {
  if (issue.code === 'custom') return unknown.has(formatPath(issue.path));
  const key = issue.path.at(-1);
  if (typeof key !== 'string' || source.describe(toYamlPath(issue.path)) !== undefined) return false;
  const beside = unknown.get(formatPath(issue.path.slice(0, -1))) ?? [];
  return beside.slice(0, maxListedProblems).some((word) => nearest(word, [key]) !== undefined);
}

function toYamlPath(path: readonly PropertyKey[]): YamlPath {
  return path.map((part) => (typeof part === 'number' ? part : String(part)));
}

function problemsOf(issue: core.$ZodIssue, source: YamlSource, schema: z.ZodType, prefix: YamlPath): Problem[] {
  const path: YamlPath = [...prefix, ...toYamlPath(issue.path)];
  const here = { at: source.locate(path), path };
  const written = source.describe(path);
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key, i) => unknownKey([...path, key], source, i < maxListedProblems ? schema : undefined));
    case 'invalid_union':
      return unionProblems(issue, source, schema, path);
    case 'invalid_key': {
      const text = issue.issues[0]?.message ?? issue.message;
      return [{ at: source.locateKey(path), path, text }];
    }
    case 'custom': {
      // zod cannot tell a missing key from one that a rule adds by itself: a rule's own words win.
      const params: { reason?: unknown; next?: unknown; at_key?: unknown } = issue.params ?? {};
      return [
        {
          at: params.at_key === true ? source.locateKey(path) : here.at,
          path,
          text: issue.message,
          reason: typeof params.reason === 'string' ? params.reason : undefined,
          next: typeof params.next === 'string' ? params.next : undefined,
        },
      ];
    }
    default:
      break;
  }
  // A key that once meant something and is refused now: the schema's words say where it went.
  if (issue.code === 'invalid_type' && issue.expected === 'never') {
    return [{ at: source.locateKey(path), path, text: issue.message }];
  }
  if (written === undefined) return [{ ...here, text: `missing: ${wanted(issue)}` }];
  if (issue.code === 'invalid_value') return [{ ...here, text: notOneOf(issue, source, path) }];
  if (issue.code === 'invalid_type') return [{ ...here, text: `${wanted(issue)}, got ${written}` }];
  return [{ ...here, text: issue.message }];
}

/** Without a schema there is no hint: one that will not be listed is not worth searching for. */
function unknownKey(path: YamlPath, source: YamlSource, schema: z.ZodType | undefined): Problem {
  if (!schema) return { at: source.locateKey(path), path, text: 'unknown key' };
  const parent = path.slice(0, -1);
  const word = String(path.at(-1));
  const known = knownKeys(schema, parent);
  const meant = nearest(word, known);
  const elsewhere = pathsEndingIn(schema, word);
  let hint = known.length > 0 ? `; known here: ${known.join(', ')}` : '';
  if (elsewhere.length === 1 && elsewhere[0]) hint = `; it belongs at ${formatPath(elsewhere[0])}`;
  if (meant !== undefined) hint = `; did you mean ${formatPath([...parent, meant])}?`;
  return { at: source.locateKey(path), path, text: `unknown key${hint}` };
}

/** The branch that got furthest is the one the writer meant. */
function unionProblems(
  issue: core.$ZodIssueInvalidUnion,
  source: YamlSource,
  schema: z.ZodType,
  path: YamlPath,
): Problem[] {
  const depth = (branch: readonly core.$ZodIssue[]): number => Math.max(0, ...branch.map((one) => one.path.length));
  const best = issue.errors.toSorted((a, b) => depth(b) - depth(a) || a.length - b.length)[0];
  if (best && best.length > 0) return best.flatMap((one) => problemsOf(one, source, schema, path));
  const options = 'options' in issue ? (issue.options ?? []).map(String) : [];
  if (options.length === 0) return [{ at: source.locate(path), path, text: issue.message }];
  const missing = source.describe(path) === undefined;
  const text = missing
    ? `missing: expected ${oneOf(options)}`
    : `expected ${oneOf(options)}${suggestion(source, path, options)}`;
  return [{ at: source.locate(path), path, text }];
}

function notOneOf(issue: core.$ZodIssueInvalidValue, source: YamlSource, path: YamlPath): string {
  const values = issue.values.map(String);
  return `${wanted(issue)}${suggestion(source, path, values)}`;
}

function suggestion(source: YamlSource, path: YamlPath, values: readonly string[]): string {
  const written = path.reduce<unknown>((value, part) => {
    const inside = typeof value === 'object' && value !== null ? Object.entries(value) : [];
    return inside.find(([key]) => key === String(part))?.[1];
  }, source.value);
  if (typeof written !== 'string') return `, got ${source.describe(path) ?? 'nothing'}`;
  const meant = nearest(written, values);
  return `, got ${JSON.stringify(written.slice(0, 40))}${meant === undefined ? '' : `; did you mean ${meant}?`}`;
}

function oneOf(values: readonly string[]): string {
  return values.length === 1 ? `${values[0]}` : `one of ${values.join(', ')}`;
}

const typeWords: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'a map of keys',
  record: 'a map of names',
  array: 'a list',
};

function wanted(issue: core.$ZodIssue): string {
  // A field that explains itself keeps its words; zod's own always begin with "Invalid".
  if (!issue.message.startsWith('Invalid')) return issue.message;
  if (issue.code === 'invalid_value') return `expected ${oneOf(issue.values.map(String))}`;
  if (issue.code === 'invalid_type') return `expected ${typeWords[issue.expected] ?? issue.expected}`;
  return issue.message;
}
