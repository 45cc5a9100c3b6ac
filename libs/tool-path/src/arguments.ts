import { nearest } from '@coral/config';
import { toolNames, toolSchemas, isToolName, type ToolArgs, type ToolName } from '@coral/tools';
import type { z } from 'zod';
import { BadArgument, quote, UnknownTool } from './tool-path.errors.js';

/** Arguments of one call as JSON text. Bytes of UTF-8. */
export const maxArgumentBytes = 64 * 1024;
/** Containers inside containers, the arguments themselves being the first. */
export const maxArgumentDepth = 32;
/** An idempotency key is printable ASCII of at most this length. */
export const maxIdempotencyKeyLength = 128;

/** Keys that reach behind an object in JavaScript. No tool has an argument of such a name. */
const forbiddenKeys = new Set(['__proto__', 'constructor', 'prototype']);

/** The tool of that name. Throws `unknown_tool`. */
export function toolNamed(name: string): ToolName {
  if (isToolName(name)) return name;
  throw new UnknownTool(name, toolNames);
}

/** Without recursion: the depth of what a stranger sent is not known yet. */
function refuseHostileShape(args: object): void {
  const open: { value: object; depth: number }[] = [{ value: args, depth: 1 }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { value, depth } = next;
    if (depth > maxArgumentDepth) {
      const message = `The arguments are nested deeper than ${maxArgumentDepth} levels.`;
      throw new BadArgument('arguments', message, 'Send plain values.', 'arguments_too_deep');
    }
    for (const [key, member] of Object.entries(value)) {
      if (!Array.isArray(value) && forbiddenKeys.has(key)) {
        const message = `The arguments contain the key ${quote(key)}, which no tool has.`;
        throw new BadArgument(key, message, 'Leave it out.', 'forbidden_key');
      }
      if (typeof member === 'object' && member !== null) open.push({ value: member as object, depth: depth + 1 });
    }
  }
}

function problemOf(tool: ToolName, issue: z.core.$ZodIssue): BadArgument {
  const known = Object.keys(toolSchemas[tool].shape);
  const listed = `${tool} takes ${known.join(', ')}.`;
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0] ?? '';
    const meant = nearest(key, known);
    const message = `${tool} has no argument ${quote(key)}${meant ? `; did you mean ${meant}?` : '.'}`;
    return new BadArgument(key.slice(0, 80) || 'arguments', message, listed, 'unknown_argument');
  }
  const argument = issue.path.map(String).join('.') || 'arguments';
  if (issue.code === 'invalid_type' && issue.message.endsWith('received undefined')) {
    return new BadArgument(argument, `${tool} needs the argument ${argument}.`, listed, 'missing_argument');
  }
  return new BadArgument(argument, `Argument ${argument} of ${tool}: ${issue.message}.`, listed);
}

/**
 * The arguments as the tool's schema reads them: defaults filled in, nothing else in them. Everything after this point
 * (permission, audit, handler) sees this form only, so that no two of them can read the same bytes differently.
 */
export function parseArguments(tool: ToolName, raw: unknown): ToolArgs {
  const args = raw ?? {};
  if (typeof args !== 'object' || Array.isArray(args)) {
    const message = `The arguments of ${tool} must be an object.`;
    throw new BadArgument('arguments', message, `${tool} takes ${Object.keys(toolSchemas[tool].shape).join(', ')}.`);
  }
  refuseHostileShape(args);
  const bytes = Buffer.byteLength(JSON.stringify(args), 'utf8');
  if (bytes > maxArgumentBytes) {
    const message = `The arguments have ${bytes} bytes; ${maxArgumentBytes} are allowed.`;
    throw new BadArgument('arguments', message, 'Ask a shorter question.', 'arguments_too_large');
  }
  const parsed = toolSchemas[tool].safeParse(args);
  if (parsed.success) return parsed.data;
  const { issues } = parsed.error;
  // A misspelt argument is often the missing one: said first.
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0];
  throw issue ? problemOf(tool, issue) : new BadArgument('arguments', parsed.error.message, 'Check the arguments.');
}

export function checkIdempotencyKey(key: string | undefined): void {
  if (key === undefined || (key.length <= maxIdempotencyKeyLength && /^[\x21-\x7e]+$/.test(key))) return;
  const message = `The idempotency key must be 1 to ${maxIdempotencyKeyLength} printable ASCII characters.`;
  throw new BadArgument('idempotency-key', message, 'Send a UUID.', 'bad_idempotency_key');
}
