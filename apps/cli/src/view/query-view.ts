import type { Baseline, MetricRow, QueryData, TableData, ToolEnvelope } from '@coral/tools';
import { footLines, headLines, sections } from './envelope-view.js';
import { eventTable } from './events-view.js';
import { renderTable, type Column } from './table.js';
import { formatNumber, formatPercent, formatTime } from './words.js';

export function queryView(envelope: ToolEnvelope<QueryData>, width: number): string[] {
  const { data } = envelope;
  if (data.kind === 'metrics') {
    return sections(headLines(envelope, data.canonical), metricTable(data.rows, width), footLines(envelope));
  }
  if (data.kind === 'events') {
    const none = envelope.status === 'ok' && data.events.length === 0 ? ['No events.'] : [];
    return sections(headLines(envelope, data.canonical), none, eventTable(data.events, width), footLines(envelope));
  }
  return sections(headLines(envelope), dataTable(data, width), footLines(envelope));
}

const labels = ['start', 'service', 'route', 'version', 'dependency'] as const;

const baselineNames: Record<Baseline['kind'], string> = {
  previous_window: '  just before',
  day_before: '  a day earlier',
};

function metricTable(rows: readonly MetricRow[], width: number): string[] {
  if (rows.length === 0) return [];
  const used = labels.filter((label) => rows.some((row) => row[label] !== undefined));
  const columns: Column[] = [
    ...(used.length > 0 ? used : ['']).map((label) => ({ title: label.toUpperCase() })),
    ...['REQ/S', 'ERRORS', 'P50 ms', 'P95 ms', 'P99 ms', 'MAX ms'].map((title) => ({ title, align: 'right' as const })),
  ];
  const numbers = (row: MetricRow | Baseline) => [
    formatNumber(row.requests_per_s),
    formatPercent(row.error_rate),
    formatNumber(row.p50_ms),
    formatNumber(row.p95_ms),
    formatNumber(row.p99_ms),
    'max_ms' in row ? formatNumber(row.max_ms) : '',
  ];
  const lines = rows.flatMap((row) => {
    const names = used.map((label) => (label === 'start' ? formatTime(row.start ?? '') : (row[label] ?? '')));
    const blank = used.slice(1).map(() => '');
    const before =
      row.baseline === 'no baseline'
        ? [['  no baseline']]
        : (row.baseline ?? []).map((baseline) => [baselineNames[baseline.kind], ...blank, ...numbers(baseline)]);
    return [[...(names.length > 0 ? names : ['all']), ...numbers(row)], ...before];
  });
  return renderTable(columns, lines, width);
}

/** Columns and rows as the database named them. */
export function dataTable({ columns, rows }: TableData, width: number): string[] {
  const numeric = /INT|DOUBLE|FLOAT|DECIMAL|REAL/i;
  const heads = columns.map(({ name, type }): Column => ({
    title: name,
    align: numeric.test(type) ? 'right' : 'left',
  }));
  return renderTable(
    heads,
    rows.map((row) => row.map(cellText)),
    width,
  );
}

function cellText(value: unknown): string {
  if (value === null || value === undefined) return '–';
  if (typeof value === 'number') return formatNumber(value);
  return typeof value === 'string' ? value : JSON.stringify(value);
}
