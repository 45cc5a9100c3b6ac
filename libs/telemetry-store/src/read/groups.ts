import { type DuckDBValue, listValue } from '@duckdb/node-api';
import type { Histogram } from '@coral/model';
import type { Row, Session } from '../database.js';
import { histogramOf, numberOf, textOf } from '../rows.js';

/** What is asked for: windows that start in [from, to). Times in ms since the Unix epoch. */
export interface Selection {
  from: number;
  to: number;
  service?: string | undefined;
  agentId?: string | undefined;
}

/** Requests added up, with the histogram that all percentiles come from. */
export interface Group {
  requests: number;
  errors: number;
  latency: Histogram;
  /** Start of the first window and end of the last one, ms. */
  firstMs: number;
  lastMs: number;
}

export interface ServiceGroup extends Group {
  service?: string;
  route?: string;
  version?: string;
  /** Start of the step, ms. */
  stepMs?: number;
}

export interface EdgeGroup extends Group {
  service: string;
  kind: 'request' | 'database' | 'queue';
  address: string;
  system: string;
  name: string;
  stepMs?: number;
}

export type ServiceKey = 'service' | 'route' | 'version';

/** Adds service windows up by the keys asked for, and by steps of `stepLength` ms when given. */
export async function readServiceGroups(
  sql: Session,
  selection: Selection,
  keys: readonly ServiceKey[],
  stepLength?: number,
): Promise<ServiceGroup[]> {
  const rows = await mergedRows(sql, 'service_window', keys, selection, stepLength);
  return rows.map((row) => ({ ...keysOf(row, keys), ...groupOf(row), ...stepOf(row, stepLength) }));
}

/** Adds edge windows up by caller and callee as the caller knew it. */
export async function readEdgeGroups(sql: Session, selection: Selection, stepLength?: number): Promise<EdgeGroup[]> {
  const keys = ['service', 'kind', 'address', 'system', 'name'] as const;
  const rows = await mergedRows(sql, 'edge_window', keys, selection, stepLength);
  return rows.map((row) => ({
    service: textOf(row, 'service'),
    kind: textOf(row, 'kind') as EdgeGroup['kind'],
    address: textOf(row, 'address'),
    system: textOf(row, 'system'),
    name: textOf(row, 'name'),
    ...groupOf(row),
    ...stepOf(row, stepLength),
  }));
}

/**
 * The merge itself runs in the engine: buckets are unnested and added up, which is exact, and only merged histograms come
 * back. `keys` are names of columns, never text from outside.
 */
async function mergedRows(
  sql: Session,
  table: 'service_window' | 'edge_window',
  keys: readonly string[],
  selection: Selection,
  stepLength: number | undefined,
): Promise<Row[]> {
  const params: Record<string, DuckDBValue> = { from: selection.from, to: selection.to };
  const where = ['start_ms >= $from::BIGINT', 'start_ms < $to::BIGINT'];
  if (selection.service !== undefined) {
    where.push('service = $service');
    params['service'] = selection.service;
  }
  if (selection.agentId !== undefined) {
    where.push('agent_id = $agent');
    params['agent'] = selection.agentId;
  }
  let step = '0';
  if (stepLength !== undefined) {
    step = '(start_ms - start_ms % $step::BIGINT)';
    params['step'] = stepLength;
  }
  const names = ['step_ms', ...keys].join(', ');
  return await sql.rows(
    `WITH picked AS MATERIALIZED (SELECT ${step} AS step_ms, * FROM ${table} WHERE ${where.join(' AND ')}),
     totals AS (
       SELECT ${names}, sum(requests)::BIGINT AS requests, sum(errors)::BIGINT AS errors,
         sum(zero_count)::BIGINT AS zero_count, sum(sum_ns) AS sum_ns,
         coalesce(min(min_ns) FILTER (zero_count > 0 OR len(counts) > 0), 0) AS min_ns, max(max_ns) AS max_ns,
         min(start_ms) AS first_ms, max(start_ms + length_ms) AS last_ms
       FROM picked GROUP BY ${names}),
     cells AS (
       SELECT ${names}, bucket, sum(n)::BIGINT AS n
       FROM (SELECT ${names}, unnest(buckets) AS bucket, unnest(counts) AS n FROM picked)
       GROUP BY ${names}, bucket),
     lists AS (
       SELECT ${names}, list(bucket ORDER BY bucket) AS buckets, list(n ORDER BY bucket) AS counts
       FROM cells GROUP BY ${names})
     SELECT * FROM totals LEFT JOIN lists USING (${names}) ORDER BY ${names}`,
    params,
  );
}

function keysOf(row: Row, keys: readonly ServiceKey[]): Pick<ServiceGroup, ServiceKey> {
  return Object.fromEntries(keys.map((key) => [key, textOf(row, key)]));
}

function stepOf(row: Row, stepLength: number | undefined): { stepMs?: number } {
  return stepLength === undefined ? {} : { stepMs: numberOf(row, 'step_ms') };
}

function groupOf(row: Row): Group {
  return {
    requests: numberOf(row, 'requests'),
    errors: numberOf(row, 'errors'),
    latency: histogramOf(row),
    firstMs: numberOf(row, 'first_ms'),
    lastMs: numberOf(row, 'last_ms'),
  };
}

/** Names as a list parameter. */
export function namesParam(names: readonly string[]): DuckDBValue {
  return listValue([...names]);
}
