import type { JsonValue } from '@coral/audit';
import type { ToolName } from '@coral/tools';
import { ResponseTooLarge } from './tool-path.errors.js';

/** A redacted envelope: plain JSON with the fields of ToolEnvelope that matter here. */
export interface PlainEnvelope {
  [key: string]: JsonValue;
}

const hints: Record<ToolName, string> = {
  coral_query: 'Ask for less: a shorter time_range, one service as scope, fewer groups, or LIMIT in SQL.',
  coral_fetch_live: 'Ask for less: fewer columns, a WHERE, or a smaller LIMIT.',
  coral_get_topology: 'Ask for a shorter time_range.',
  coral_query_events: 'Ask for less: a shorter time_range, one service, or one event_type.',
  coral_get_health: 'Ask for less: name a service in service_filter.',
};

function bytesOf(value: JsonValue): number {
  return Buffer.byteLength(JSON.stringify(value), 'utf8');
}

function isObject(value: JsonValue | undefined): value is { [key: string]: JsonValue } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function withRows(
  envelope: PlainEnvelope,
  list: string,
  rows: JsonValue[],
  of: number,
  maxBytes: number,
  hint: string,
): PlainEnvelope {
  const data = isObject(envelope['data']) ? envelope['data'] : {};
  const earlier = isObject(envelope['truncation']) ? envelope['truncation']['note'] : undefined;
  const told = `Only the first ${rows.length} of ${of} ${list} fit into ${maxBytes} bytes. ${hint}`;
  // No cursor: the tool's own would point behind rows that were dropped here.
  const note = typeof earlier === 'string' ? `${earlier} ${told}` : told;
  return { ...envelope, data: { ...data, [list]: rows }, truncation: { truncated: true, note } };
}

/** As many rows from the start as fit, found without printing the whole again for each. */
function shorten(
  envelope: PlainEnvelope,
  list: string,
  rows: JsonValue[],
  maxBytes: number,
  hint: string,
): PlainEnvelope {
  const sizes = rows.map(bytesOf);
  let kept = rows.length;
  let rowBytes = sizes.reduce((sum, size) => sum + size + 1, -1);
  // The note says how many rows are left, so its length can change with them: measured again whenever it might fit.
  const frame = bytesOf(withRows(envelope, list, [], rows.length, maxBytes, hint));
  while (kept > 0) {
    if (frame + rowBytes <= maxBytes) {
      const shorter = withRows(envelope, list, rows.slice(0, kept), rows.length, maxBytes, hint);
      if (bytesOf(shorter) <= maxBytes) return shorter;
    }
    kept -= 1;
    rowBytes -= (sizes[kept] ?? 0) + 1;
  }
  return withRows(envelope, list, [], rows.length, maxBytes, hint);
}

/** {@link capSize} with the JSON text that is sent, which had to be printed to see whether it fits. */
export function capText(
  envelope: PlainEnvelope,
  tool: ToolName,
  maxBytes: number,
): { body: PlainEnvelope; text: string } {
  const text = JSON.stringify(envelope);
  if (Buffer.byteLength(text, 'utf8') <= maxBytes) return { body: envelope, text };
  const body = capSize(envelope, tool, maxBytes);
  return { body, text: JSON.stringify(body) };
}

/**
 * The envelope in at most `maxBytes` of JSON text, always valid JSON: rows go from the end of the longest list in `data`,
 * and the truncation says so. Throws `response_too_large` when not one row of any list would be left.
 */
export function capSize(envelope: PlainEnvelope, tool: ToolName, maxBytes: number): PlainEnvelope {
  const bytes = bytesOf(envelope);
  if (bytes <= maxBytes) return envelope;
  const hint = hints[tool];
  const data = isObject(envelope['data']) ? envelope['data'] : {};
  const lists = Object.entries(data)
    // The columns of a table are not rows: without them the rows mean nothing.
    .flatMap(([list, value]) => (Array.isArray(value) && list !== 'columns' ? [{ list, rows: value }] : []))
    .toSorted((a, b) => bytesOf(b.rows) - bytesOf(a.rows));
  let shorter = envelope;
  for (const { list, rows } of lists) {
    if (rows.length === 0) continue;
    shorter = shorten(shorter, list, rows, maxBytes, hint);
    if (bytesOf(shorter) > maxBytes) continue;
    const left = isObject(shorter['data']) ? shorter['data'] : {};
    if (lists.some((each) => Array.isArray(left[each.list]) && (left[each.list] as JsonValue[]).length > 0))
      return shorter;
  }
  throw new ResponseTooLarge(bytes, maxBytes, hint);
}
