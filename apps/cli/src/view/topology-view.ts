import type { GetTopologyData, ToolEnvelope } from '@coral/tools';
import { footLines, headLines, sections } from './envelope-view.js';
import { renderTable } from './table.js';
import { visible } from './visible.js';
import { formatNumber, formatPercent } from './words.js';

/** Graphviz text stands alone, so that it can be piped into `dot`; its notes become comments. */
export function topologyView(envelope: ToolEnvelope<GetTopologyData>, width: number): string[] {
  const { data } = envelope;
  if (data.format === 'graphviz') {
    return [...footLines(envelope).map((note) => `// ${note}`), ...visible(data.text).trimEnd().split('\n')];
  }
  const connected = new Set(data.edges.flatMap(({ from, to }) => [from, to]));
  const alone = data.nodes.filter(({ id }) => !connected.has(id)).map(({ id }) => id);
  const columns = [
    { title: 'FROM' },
    { title: 'TO' },
    ...['REQ/S', 'ERRORS', 'P50 ms', 'P95 ms'].map((title) => ({ title, align: 'right' as const })),
  ];
  const rows = data.edges.map(({ from, to, requests_per_s, error_rate, p50_ms, p95_ms }) => [
    from,
    to,
    formatNumber(requests_per_s),
    formatPercent(error_rate),
    formatNumber(p50_ms),
    formatNumber(p95_ms),
  ]);
  return sections(
    headLines(envelope),
    rows.length > 0 ? renderTable(columns, rows, width) : [],
    alone.length > 0
      ? renderTable(
          [{ title: 'WITHOUT CALLS' }],
          alone.map((id) => [id]),
          width,
        )
      : [],
    footLines(envelope),
  );
}
