import { isDeepStrictEqual } from 'node:util';
import { toolDefinitions } from '@coral/tools';
import { isObject } from './mcp-message.js';

/**
 * Names of tools in the result of tools/list whose words are not the ones this version of coral was built with: an update,
 * or somebody who changes what models read.
 */
export function driftedTools(result: unknown): string[] {
  const tools = isObject(result) && Array.isArray(result['tools']) ? result['tools'] : [];
  return tools.filter(isObject).flatMap((tool) => {
    const known = toolDefinitions.find(({ name }) => name === tool['name']);
    const parts = ['description', 'inputSchema', 'outputSchema'] as const;
    // A part that is not there misleads nobody.
    const same = known && parts.every((part) => !(part in tool) || isDeepStrictEqual(tool[part], known[part]));
    return same ? [] : [String(tool['name'])];
  });
}
