import type { z } from 'zod';
import { deepFreeze } from './deep-freeze.js';
import type { SourceLocation, YamlPath } from './location.js';
import { badConfig } from './problem.js';
import { schemaProblems } from './schema-problems.js';
import { readYaml } from './yaml-source.js';

export interface Located<T> {
  value: T;
  /** Where the value at `path` stands in the file; for a default, its nearest parent. */
  locate(path: YamlPath): SourceLocation;
}

/**
 * Text of a file to a checked, deep-frozen value. All problems are in one `failed_precondition` error, one line each as
 * `file:line:col: path: problem`; `where` is the first. A schema refines with `ctx.addIssue({ code: 'custom', params })`,
 * where `params` may hold `reason` and `next` for the error and `at_key: true` to point at the key instead of the value.
 */
export function parseYaml<T>(text: string, file: string, schema: z.ZodType<T>): T {
  return parseYamlLocated(text, file, schema).value;
}

/** As {@link parseYaml}, for those who must say later where a rule stands. */
export function parseYamlLocated<T>(text: string, file: string, schema: z.ZodType<T>): Located<T> {
  const source = readYaml(text, file);
  const parsed = schema.safeParse(source.value);
  if (!parsed.success) throw badConfig(file, schemaProblems(parsed.error.issues, source, schema));
  return { value: deepFreeze(parsed.data), locate: source.locate };
}
