import type { core, z } from 'zod';

/** A zod schema seen by its definition: the part of zod's published core that lets us name the keys it knows. */
function definitionOf(schema: core.$ZodType): core.$ZodTypes['_zod']['def'] {
  return (schema as core.$ZodTypes)._zod.def;
}

/** All schemas that may stand where this one stands: wrappers removed, unions spread. */
function alternatives(schema: core.$ZodType): core.$ZodType[] {
  const def = definitionOf(schema);
  switch (def.type) {
    case 'optional':
    case 'default':
    case 'prefault':
    case 'nullable':
    case 'nonoptional':
    case 'readonly':
    case 'catch':
      return alternatives(def.innerType);
    case 'pipe':
      return alternatives(def.in);
    case 'lazy':
      return alternatives(def.getter());
    case 'union':
      return def.options.flatMap(alternatives);
    default:
      return [schema];
  }
}

function child(schema: core.$ZodType, part: PropertyKey): core.$ZodType[] {
  const def = definitionOf(schema);
  if (def.type === 'object' && typeof part === 'string' && Object.hasOwn(def.shape, part)) {
    return alternatives(def.shape[part] as core.$ZodType);
  }
  if (def.type === 'record') return alternatives(def.valueType);
  if (def.type === 'array') return alternatives(def.element);
  return [];
}

/** `z.never()`: a key that is only in the schema to be refused with better words. */
function isRefused(schema: core.$ZodType | undefined): boolean {
  return schema !== undefined && alternatives(schema).every((one) => definitionOf(one).type === 'never');
}

function keysOf(schema: core.$ZodType): string[] {
  const def = definitionOf(schema);
  if (def.type === 'object') return Object.keys(def.shape).filter((key) => !isRefused(def.shape[key]));
  if (def.type !== 'record') return [];
  const key = definitionOf(def.keyType);
  return key.type === 'enum' ? Object.values(key.entries).map(String) : [];
}

/** The keys a map at `path` may have, in the order of the schema; empty where the schema leaves them open. */
export function knownKeys(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  const here = path.reduce((schemas, part) => schemas.flatMap((one) => child(one, part)), alternatives(schema));
  return [...new Set(here.flatMap(keysOf))];
}

/** Every path of maps that ends in `key`: where a key that stands in the wrong place belongs. */
export function pathsEndingIn(schema: z.ZodType, key: string): string[][] {
  const found: string[][] = [];
  const walk = (schemas: core.$ZodType[], path: string[]): void => {
    if (path.length > 6) return;
    for (const name of new Set(schemas.flatMap(keysOf))) {
      if (name === key) found.push([...path, name]);
      walk(
        schemas.flatMap((one) => child(one, name)),
        [...path, name],
      );
    }
  };
  walk(alternatives(schema), []);
  return found;
}
