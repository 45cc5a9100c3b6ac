import type { EventRow, QueryEventsData, ToolEnvelope } from '@coral/tools';
import { footLines, headLines, sections } from './envelope-view.js';
import { renderTable } from './table.js';
import { formatTime } from './words.js';

export function eventsView(envelope: ToolEnvelope<QueryEventsData>, width: number): string[] {
  const { data, status } = envelope;
  const none = status === 'ok' ? ['No events.'] : [];
  const table = data.events.length > 0 ? eventTable(data.events, width) : none;
  return sections(headLines(envelope), table, footLines(envelope));
}

export function eventTable(events: readonly EventRow[], width: number): string[] {
  if (events.length === 0) return [];
  const rows = events.map(({ at, type, service, summary }) => [formatTime(at), type, service, summary]);
  return renderTable(
    ['WHEN (UTC)', 'TYPE', 'SERVICE', 'WHAT'].map((title) => ({ title })),
    rows,
    width,
  );
}
