/**
 * The inside of the cage: a process of its own for one statement, with an empty environment and hard limits. It may be
 * killed at any point; nothing it holds matters. The gate runs here too, since even parsing can be made expensive.
 */
import { text } from 'node:stream/consumers';
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import { CoralError } from '@coral/errors';
import { checkSize, checkTree, type SerializedSql } from './gate.js';
import type { CageReply, CageRequest, CageResult } from './protocol.js';

/** Third layer: what the engine itself refuses, whatever the gate let through. `lock_configuration` comes last. */
const lockedEngine = {
  access_mode: 'READ_ONLY',
  threads: '1',
  memory_limit: '256MB',
  enable_external_access: 'false',
  autoload_known_extensions: 'false',
  autoinstall_known_extensions: 'false',
  allow_community_extensions: 'false',
  lock_configuration: 'true',
};

async function parse(sql: string): Promise<SerializedSql> {
  const scratch = await DuckDBInstance.create(':memory:', {
    threads: '1',
    memory_limit: '128MB',
    enable_external_access: 'false',
    autoload_known_extensions: 'false',
    autoinstall_known_extensions: 'false',
  });
  const connection = await scratch.connect();
  const reader = await connection.runAndReadAll('SELECT json_serialize_sql($1::VARCHAR)', [sql]);
  const parsed = JSON.parse(String(reader.getRows()[0]?.[0])) as SerializedSql;
  connection.closeSync();
  scratch.closeSync();
  return parsed;
}

/** `DESCRIBE view` and `SHOW TABLES` are what people type first; they are answered from the published names alone. */
function rewriteDescribe(request: CageRequest): string {
  const describe = /^\s*(?:describe|desc)\s+"?([a-z_][a-z0-9_]*)"?\s*;?\s*$/i.exec(request.sql);
  if (describe) {
    const view = request.views.find((name) => name.toLowerCase() === describe[1]?.toLowerCase());
    if (view !== undefined)
      return `SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = '${view}' ORDER BY column_index`;
  }
  if (/^\s*show\s+(?:all\s+)?tables\s*;?\s*$/i.test(request.sql)) {
    return `SELECT unnest([${request.views.map((view) => `'${view}'`).join(', ')}]) AS name`;
  }
  return '';
}

async function execute(connection: DuckDBConnection, sql: string, request: CageRequest): Promise<CageResult> {
  const stream = await connection.stream(sql);
  const types = stream.columnTypes();
  const columns = stream.columnNames().map((name, i) => ({ name, type: String(types[i]) }));
  const rows: unknown[][] = [];
  let bytes = 0;
  for await (const chunk of stream.yieldRowsJson()) {
    for (const row of chunk) {
      bytes += Buffer.byteLength(JSON.stringify(row)) + 1;
      if (rows.length >= request.maxRows || bytes > request.maxBytes) return { columns, rows, truncated: true };
      rows.push(row as unknown[]);
    }
  }
  return { columns, rows, truncated: false };
}

async function answer(request: CageRequest): Promise<CageResult> {
  checkSize(request.sql);
  const described = rewriteDescribe(request);
  if (described === '') checkTree(await parse(request.sql), request.views);
  const instance = await DuckDBInstance.create(request.snapshot, lockedEngine);
  const connection = await instance.connect();
  // White space before the JSON: tells the parent that the statement's own time begins now.
  process.stdout.write('\n');
  const timer = setTimeout(() => connection.interrupt(), request.timeoutMs);
  try {
    return await execute(connection, described === '' ? request.sql : described, request);
  } finally {
    clearTimeout(timer);
  }
}

function complaint(thrown: unknown, request: CageRequest): CageReply {
  if (thrown instanceof CoralError) {
    const { reason, message, next, where } = thrown;
    return {
      ok: false,
      error: { kind: 'invalid_argument', reason, message, ...(next && { next }), ...(where && { where }) },
    };
  }
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  if (/interrupted/i.test(text)) {
    return {
      ok: false,
      error: {
        kind: 'deadline_exceeded',
        reason: 'sql_too_slow',
        message: `The SQL was stopped after ${request.timeoutMs} ms.`,
        next: 'Narrow the time range, or aggregate less.',
      },
    };
  }
  if (/out of memory/i.test(text)) {
    return {
      ok: false,
      error: {
        kind: 'resource_exhausted',
        reason: 'sql_too_large',
        message: 'The SQL needs more memory than one question may use (256 MB).',
        next: 'Filter earlier, group by fewer columns, or drop the sort.',
      },
    };
  }
  // Binder and conversion errors name columns and values of the published views: they teach, and reveal nothing else.
  const firstLines = text.split('\n').slice(0, 3).join(' ').slice(0, 500);
  return {
    ok: false,
    error: {
      kind: 'invalid_argument',
      reason: 'sql_invalid',
      message: `The SQL does not run: ${firstLines}`,
      next: `Look at the columns with DESCRIBE; the views are ${request.views.join(', ')}.`,
      where: 'sql',
    },
  };
}

const request = JSON.parse(await text(process.stdin)) as CageRequest;
const reply: CageReply = await answer(request).then(
  (result) => ({ ok: true, result }) as const,
  (thrown: unknown) => complaint(thrown, request),
);
process.stdout.write(JSON.stringify(reply), () => process.exit(0));
