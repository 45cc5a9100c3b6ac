import type { EdgeRow, NodeRow } from '@coral/tools';

const shapes: Record<NodeRow['kind'], string> = {
  service: 'box',
  database: 'cylinder',
  queue: 'cds',
  external: 'oval',
};

/** The graph in the DOT language (graphviz.org/doc/info/lang.html). Names come from telemetry: strangers' text. */
export function toDot(nodes: readonly NodeRow[], edges: readonly EdgeRow[]): string {
  const lines = [
    'digraph topology {',
    '  rankdir=LR;',
    ...nodes.map((node) => `  ${quoted(node.id)} [label=${quoted(node.id)}, shape=${shapes[node.kind]}];`),
    ...edges.map((edge) => `  ${quoted(edge.from)} -> ${quoted(edge.to)} [label=${quoted(labelOf(edge))}];`),
    '}',
  ];
  return `${lines.join('\n')}\n`;
}

function labelOf(edge: EdgeRow): string {
  const p95 = edge.p95_ms === null ? '' : `, p95 ${Number(edge.p95_ms.toPrecision(3))} ms`;
  return `${Number(edge.requests_per_s.toPrecision(3))}/s${p95}, ${Number((edge.error_rate * 100).toFixed(2))} % errors`;
}

/**
 * A double-quoted DOT string. Only `\"` ends an escape for the parser, but labels read `\n`, `\l`, `\N`, `\G` and the like
 * as orders, so backslashes are doubled. Control characters and line separators become spaces: one line stays one line.
 */
function quoted(text: string): string {
  const oneLine = text.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, ' ');
  return `"${oneLine.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}
