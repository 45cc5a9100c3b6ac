import type { GetHealthData, HealthStatus, ToolEnvelope } from '@coral/tools';
import { footLines, headLines, sections } from './envelope-view.js';
import { renderTable } from './table.js';
import { formatNumber, formatPercent } from './words.js';

const worstFirst: HealthStatus[] = ['down', 'degraded', 'unknown', 'healthy'];

export function healthView(envelope: ToolEnvelope<GetHealthData>, width: number): string[] {
  const rows = envelope.data.services
    .toSorted((a, b) => worstFirst.indexOf(a.status) - worstFirst.indexOf(b.status) || (a.service < b.service ? -1 : 1))
    .map(({ status, service, requests_per_s, error_rate, p95_ms, reason }) => [
      status,
      service,
      formatNumber(requests_per_s),
      formatPercent(error_rate),
      formatNumber(p95_ms),
      reason,
    ]);
  const columns = [
    { title: 'STATUS' },
    { title: 'SERVICE' },
    { title: 'REQ/S', align: 'right' as const },
    { title: 'ERRORS', align: 'right' as const },
    { title: 'P95 ms', align: 'right' as const },
    { title: 'WHY' },
  ];
  return sections(headLines(envelope), rows.length > 0 ? renderTable(columns, rows, width) : [], footLines(envelope));
}
