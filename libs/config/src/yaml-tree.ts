import { isAlias, isMap, isScalar, isSeq, type Document } from 'yaml';
import type { SourceLocation, YamlPath } from './location.js';
import type { Problem } from './problem.js';

/** Deeper files are refused; ours go six deep. */
export const maxDepth = 32;

/** Names that reach into JavaScript's own objects, alone or as one part of a dotted name (CVE-2026-1774 and kin). */
const reserved: ReadonlySet<string> = new Set(['prototype', ...Object.getOwnPropertyNames(Object.prototype)]);

/** True for `__proto__`, `constructor`, `toString`, `prototype.x` and the like: never a key, role, group or user. */
export function isReservedName(name: string): boolean {
  return name.split('.').some((part) => reserved.has(part));
}

/** Duplicate and reserved keys, aliases that do not resolve or contain themselves, and depth; in one pass. */
export function checkTree(
  document: Document.Parsed,
  at: (offset: number) => SourceLocation,
  maxAliases: number,
): Problem[] {
  const problems: Problem[] = [];
  const closed = new Set<string>();
  const open: string[] = [];
  let aliases = 0;

  const report = (node: { range?: readonly number[] | null | undefined }, path: YamlPath, text: string): void => {
    problems.push({ at: at(node.range?.[0] ?? 0), path, text });
  };

  const visit = (node: unknown, path: YamlPath): void => {
    if (isAlias(node)) {
      aliases += 1;
      if (aliases === maxAliases + 1) report(node, path, `more than ${maxAliases} aliases in one file`);
      else if (open.includes(node.source)) report(node, path, 'this alias contains itself');
      else if (!closed.has(node.source)) report(node, path, 'this alias has no anchor above it');
      return;
    }
    const anchor = isScalar(node) || isMap(node) || isSeq(node) ? node.anchor : undefined;
    if (anchor !== undefined) open.push(anchor);
    if ((isMap(node) || isSeq(node)) && path.length >= maxDepth) report(node, [], `nested more than ${maxDepth} deep`);
    else if (isMap(node)) visitMap(node.items, path);
    else if (isSeq(node)) node.items.forEach((item, i) => visit(item, [...path, i]));
    if (anchor !== undefined) closed.add(open.pop() ?? anchor);
  };

  const visitMap = (pairs: readonly { key: unknown; value: unknown }[], path: YamlPath): void => {
    const seen = new Map<string, number>();
    for (const { key, value } of pairs) {
      if (!isScalar(key)) {
        const node = isAlias(key) ? key : { range: [0] };
        report(node, path, 'keys must be plain words');
        continue;
      }
      const name = String(key.value);
      const here = [...path, name];
      const offset = key.range?.[0] ?? 0;
      const earlier = seen.get(name);
      if (earlier !== undefined) report(key, here, `this key stands here twice, first at line ${at(earlier).line}`);
      else seen.set(name, offset);
      if (isReservedName(name)) report(key, here, 'this name is reserved by JavaScript and refused everywhere');
      visit(value, here);
    }
  };

  visit(document.contents, []);
  return problems;
}
