import { randomBytes } from 'node:crypto';
import type { ScriptedRequest } from './scripted-model.js';

export type Json = Record<string, unknown>;

/** A request that the API refuses, in its words. */
export class Refused extends Error {
  constructor(
    message: string,
    readonly param: string | null = null,
    readonly status = 400,
    readonly code: string | null = null,
  ) {
    super(message);
  }
}

export function asObject(value: unknown, param: string): Json {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json;
  throw new Refused(`Invalid type for '${param}': expected an object.`, param, 400, 'invalid_type');
}

export function asArray(value: unknown, param: string): unknown[] {
  if (Array.isArray(value)) return value;
  throw new Refused(`Invalid type for '${param}': expected an array.`, param, 400, 'invalid_type');
}

export function asText(value: unknown, param: string): string {
  if (typeof value === 'string') return value;
  throw new Refused(`Invalid type for '${param}': expected a string.`, param, 400, 'invalid_type');
}

/** A misspelt or invented parameter is refused, as the real API does. */
export function onlyKnown(body: Json, known: readonly string[], where = ''): void {
  for (const name of Object.keys(body)) {
    const param = `${where}${name}`;
    if (!known.includes(name)) throw new Refused(`Unknown parameter: '${param}'.`, param, 400, 'unknown_parameter');
  }
}

/** Names of the tools; refuses what is no definition. `flat`: as the Responses API has them. */
export function toolsOf(body: Json, flat: boolean): string[] {
  if (body['tools'] === undefined) return [];
  const tools = asArray(body['tools'], 'tools');
  if (tools.length === 0 && !flat) {
    throw new Refused("Invalid 'tools': empty array. Expected an array with minimum length 1.", 'tools');
  }
  return tools.map((sent, i) => {
    const where = `tools[${i}]`;
    const tool = asObject(sent, where);
    if (tool['type'] !== 'function') throw new Refused(`Invalid value: '${where}.type'.`, where);
    if (flat) onlyKnown(tool, ['type', 'name', 'description', 'parameters', 'strict'], `${where}.`);
    else onlyKnown(tool, ['type', 'function'], `${where}.`);
    const fn = flat ? tool : asObject(tool['function'], `${where}.function`);
    if (flat && tool['strict'] !== false) {
      // `strict` is on unless it is off, and then optional properties are an error of the schema.
      const schema = asObject(fn['parameters'], `${where}.parameters`);
      const [all, required] = [Object.keys(asObject(schema['properties'] ?? {}, where)), schema['required'] ?? []];
      if (all.length !== (required as unknown[]).length) {
        throw new Refused(`Invalid schema for function: 'required' is required to include every key.`, where);
      }
    }
    const name = asText(fn['name'], `${where}.name`);
    if (!/^[a-zA-Z0-9_-]{1,64}$/.test(name)) throw new Refused(`Invalid '${where}.name'.`, where);
    if (asObject(fn['parameters'], `${where}.parameters`)['type'] !== 'object') {
      throw new Refused(`Invalid schema for function '${name}': schema must be of type "object".`, where);
    }
    return name;
  });
}

/** What a script is told, but for the number of the request. */
export type Understood = Omit<ScriptedRequest, 'index'>;

export function newId(prefix: string): string {
  return `${prefix}_${randomBytes(24).toString('hex')}`;
}

/** Ids of calls have at most 64 characters. */
export function newCallId(): string {
  return `call_${randomBytes(12).toString('hex')}`;
}

/** Deltas are padded to hide how long they are. */
export function obfuscation(): string {
  return randomBytes(6).toString('base64url');
}
