import { DuckDBTimestampTZValue, DuckDBUUIDValue } from '@duckdb/node-api';
import type { DuckDBAppender, DuckDBConnection } from '@duckdb/node-api';
import type { IndexRows } from './audit-index-rows.js';

/**
 * Puts the rows into their tables, past SQL: what their JSON says was read when the chain was checked, and a statement that
 * reads it again costs several times as much.
 */
export async function appendRows(connection: DuckDBConnection, rows: IndexRows): Promise<void> {
  const { calls, open, late, leases, transcripts } = rows;
  await append(connection, 'mcp_tool_audit', calls, (to, call) => {
    appendTold(to, call);
    appendText(to, call.agent);
    to.appendVarchar(call.tool);
    appendText(to, call.args);
    appendInteger(to, call.size);
    to.appendBoolean(call.success);
    appendText(to, call.error);
    appendInteger(to, call.elapsed);
  });
  await append(connection, 'audit_index_open_intents', [...open], (to, [seq, id]) => {
    to.appendBigInt(BigInt(seq));
    to.appendUUID(uuid(id));
  });
  await append(connection, 'audit_index_late_ends', late, (to, end) => {
    to.appendBigInt(BigInt(end.intentSeq));
    appendInteger(to, end.size);
    to.appendBoolean(end.success);
    appendText(to, end.error);
    appendInteger(to, end.elapsed);
  });
  await append(connection, 'ephemeral_agent_audit', leases, (to, lease) => {
    appendTold(to, lease);
    to.appendVarchar(lease.agent ?? '');
    to.appendVarchar(lease.action);
    appendInteger(to, lease.ttlSeconds);
    appendText(to, lease.address);
    appendText(to, lease.userAgent);
  });
  await append(connection, 'ask_transcripts', transcripts, (to, transcript) => {
    appendTold(to, transcript);
    appendText(to, transcript.agent);
    to.appendVarchar(transcript.question);
    appendText(to, transcript.answer);
    appendText(to, transcript.provider);
    appendText(to, transcript.model);
    appendText(to, transcript.toolCalls);
    appendInteger(to, transcript.tokensInput);
    appendInteger(to, transcript.tokensOutput);
  });
}

async function append<Row>(
  connection: DuckDBConnection,
  table: string,
  rows: readonly Row[],
  columns: (to: DuckDBAppender, row: Row) => void,
): Promise<void> {
  if (rows.length === 0) return;
  const appender = await connection.createAppender(table);
  for (const row of rows) {
    columns(appender, row);
    appender.endRow();
  }
  appender.closeSync();
}

function appendTold(to: DuckDBAppender, { id, at, user }: { id: string; at: string; user: string }): void {
  to.appendUUID(uuid(id));
  to.appendTimestampTZ(new DuckDBTimestampTZValue(BigInt(Date.parse(at)) * 1_000n));
  to.appendVarchar(user);
}

function appendText(to: DuckDBAppender, text: string | null): void {
  if (text === null) to.appendNull();
  else to.appendVarchar(text);
}

function appendInteger(to: DuckDBAppender, value: number | null): void {
  if (value === null) to.appendNull();
  else to.appendInteger(value);
}

function uuid(id: string): DuckDBUUIDValue {
  return DuckDBUUIDValue.fromUint128(BigInt(`0x${id.replaceAll('-', '')}`));
}
