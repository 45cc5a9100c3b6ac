import type { EventRow, EventType } from '@coral/tools';
import type { Session } from '../database.js';
import { numberOf, textOf } from '../rows.js';
import {
  namesParam,
  readEdgeGroups,
  readServiceGroups,
  type EdgeGroup,
  type Selection,
  type ServiceGroup,
  type ServiceKey,
} from './groups.js';
import { NodeResolver, readPeers } from './nodes.js';

export interface KnownService {
  name: string;
  /** End of its last window as caller or callee, or when its process was last seen; ms. */
  lastSeenMs: number;
  /** End of the last window in which it answered a request, ms; null: never. */
  lastAnsweredMs: number | null;
  agentIds: string[];
}

/** What the colony knows of an agent's deliveries. Times in ms since the Unix epoch. */
export interface AgentReport {
  agentId: string;
  lastReceivedMs: number;
  /** Everything the agent saw up to here is in the store. */
  coveredToMs: number;
  /** The agent's clock minus the colony's, as last announced. */
  skewMs: number;
  clampedRows: number;
  lastClampedMs: number;
  refusedRows: number;
  lastRefusedMs: number;
  lastRefusedReason: string;
}

export interface EventSelection {
  from: number;
  to: number;
  types?: readonly EventType[] | undefined;
  service?: string | undefined;
  agentId?: string | undefined;
  limit: number;
}

/** One moment of the store: all reads of an answer go through one view, so that its numbers agree. */
export class TelemetryView {
  readonly #sql: Session;

  constructor(sql: Session) {
    this.#sql = sql;
  }

  /** Every service that answered, called or was seen, by name. */
  async services(): Promise<KnownService[]> {
    const rows = await this.#sql.rows(
      `SELECT service, max(last_seen_ms) AS last_ms, max(last_answered_ms) AS answered_ms,
         list(DISTINCT agent_id ORDER BY agent_id) AS agents
       FROM service_seen GROUP BY service ORDER BY service`,
    );
    return rows.map((row) => ({
      name: textOf(row, 'service'),
      lastSeenMs: numberOf(row, 'last_ms'),
      lastAnsweredMs: row['answered_ms'] === null ? null : numberOf(row, 'answered_ms'),
      agentIds: row['agents'] as string[],
    }));
  }

  /** Start of the oldest window kept, ms; undefined when there is none. */
  async dataBegin(): Promise<number | undefined> {
    const row = await this.#sql.row(
      `SELECT min(first_ms) AS first_ms FROM (
         SELECT min(start_ms) AS first_ms FROM service_window UNION ALL SELECT min(start_ms) FROM edge_window)`,
    );
    return row === undefined || row['first_ms'] === null ? undefined : numberOf(row, 'first_ms');
  }

  /** When the first process was seen or the first window began, ms; undefined: never. */
  async observedSince(): Promise<number | undefined> {
    const windows = await this.dataBegin();
    const row = await this.#sql.row('SELECT min(first_seen_ms) AS first_ms FROM instance');
    const instances = row === undefined || row['first_ms'] === null ? undefined : numberOf(row, 'first_ms');
    if (windows === undefined || instances === undefined) return windows ?? instances;
    return Math.min(windows, instances);
  }

  async serviceGroups(selection: Selection, keys: readonly ServiceKey[], stepLength?: number): Promise<ServiceGroup[]> {
    return await readServiceGroups(this.#sql, selection, keys, stepLength);
  }

  async edgeGroups(selection: Selection, stepLength?: number): Promise<EdgeGroup[]> {
    return await readEdgeGroups(this.#sql, selection, stepLength);
  }

  /** Knows which service answers at which address; `from` is the start of the window asked about, ms. */
  async nodeResolver(from: number): Promise<NodeResolver> {
    return new NodeResolver(await readPeers(this.#sql), from);
  }

  /** Newest first. */
  async events(selection: EventSelection): Promise<EventRow[]> {
    const where = ['at_ms >= $from::BIGINT', 'at_ms < $to::BIGINT'];
    const types = selection.types ?? [];
    if (types.length > 0) where.push('type IN (SELECT unnest($types::VARCHAR[]))');
    if (selection.service !== undefined) where.push('service = $service');
    if (selection.agentId !== undefined) where.push('agent_id = $agent');
    const rows = await this.#sql.rows(
      `SELECT * FROM event WHERE ${where.join(' AND ')} ORDER BY at_ms DESC, service, type, instance LIMIT $limit::BIGINT`,
      {
        from: selection.from,
        to: selection.to,
        limit: selection.limit,
        ...(types.length > 0 ? { types: namesParam(types) } : {}),
        ...(selection.service === undefined ? {} : { service: selection.service }),
        ...(selection.agentId === undefined ? {} : { agent: selection.agentId }),
      },
    );
    return rows.map((row) => {
      const optional = {
        version: textOf(row, 'version'),
        previous_version: textOf(row, 'previous_version'),
        instance: textOf(row, 'instance'),
        agent_id: textOf(row, 'agent_id'),
        reason: textOf(row, 'reason'),
      };
      return {
        at: new Date(numberOf(row, 'at_ms')).toISOString(),
        type: textOf(row, 'type') as EventType,
        service: textOf(row, 'service'),
        summary: textOf(row, 'summary'),
        ...Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== '')),
      };
    });
  }

  /** When a damaged file was last set aside, ms: what came before is missing in part or in whole. Undefined: never. */
  async rowsLostMs(): Promise<number | undefined> {
    const row = await this.#sql.row(`SELECT max(value::BIGINT) AS at_ms FROM store_fact WHERE name = 'rows_lost'`);
    return row === undefined || row['at_ms'] === null ? undefined : numberOf(row, 'at_ms');
  }

  async agentReports(): Promise<AgentReport[]> {
    const rows = await this.#sql.rows('SELECT * FROM agent_report ORDER BY agent_id');
    return rows.map((row) => ({
      agentId: textOf(row, 'agent_id'),
      lastReceivedMs: numberOf(row, 'last_received_ms'),
      coveredToMs: numberOf(row, 'covered_to_ms'),
      skewMs: numberOf(row, 'skew_ms'),
      clampedRows: numberOf(row, 'clamped_rows'),
      lastClampedMs: numberOf(row, 'last_clamped_ms'),
      refusedRows: numberOf(row, 'refused_rows'),
      lastRefusedMs: numberOf(row, 'last_refused_ms'),
      lastRefusedReason: textOf(row, 'last_refused_reason'),
    }));
  }
}
