import type { EventRow, MetricRow, ToolData, ToolEnvelope, ToolName } from '@coral/tools';
import type { ToolCall, ToolOutcome } from '../provider.js';

export const now = Date.UTC(2026, 10, 21, 14, 40, 0);
export const stepMs = 10_000;

export function at(msBefore: number): string {
  return new Date(now - msBefore).toISOString();
}

export function envelope(data: ToolData, more: Partial<ToolEnvelope> = {}): ToolEnvelope {
  return {
    data,
    status: 'ok',
    window: { from: at(900_000), to: at(0) },
    freshness: { newest: at(0), age_ms: 0 },
    coverage: { asked: 1, answered: ['one'], late: [], silent: [], denied: [] },
    sampling: { factor: 1 },
    truncation: { truncated: false },
    notes: [],
    ...more,
  };
}

/** Ninety steps up to now; `turn` steps before the end p95 goes from one level to the other. */
export function series(
  key: Pick<MetricRow, 'service' | 'dependency'>,
  before: number,
  after: number,
  turn = 30,
  steps = 90,
): MetricRow[] {
  return Array.from({ length: steps }, (_, i) => {
    const p95 = (i < steps - turn ? before : after) * (1 + 0.01 * (i % 5));
    const start = at((steps - i) * stepMs);
    return {
      ...key,
      start,
      requests: 200,
      requests_per_s: 20,
      errors: 0,
      error_rate: 0,
      p50_ms: p95 / 2,
      p95_ms: p95,
      p99_ms: p95,
      max_ms: p95,
    };
  });
}

export type Script = Partial<
  Record<ToolName, (args: Record<string, unknown>) => ToolEnvelope | { refused: string; kind?: string }>
>;

/** Answers calls as a colony does, and remembers them. */
export class ScriptedColony {
  readonly calls: ToolCall[] = [];

  constructor(private readonly script: Script) {}

  readonly callTool = async (call: ToolCall): Promise<ToolOutcome> => {
    this.calls.push(call);
    const answer = this.script[call.name as ToolName]?.(call.args) ?? { refused: `no script for ${call.name}` };
    if (!('refused' in answer))
      return { callId: call.id, name: call.name, text: JSON.stringify(answer), isError: false };
    const error = { kind: answer.kind ?? 'permission_denied', reason: 'missing_permission', message: answer.refused };
    return { callId: call.id, name: call.name, text: JSON.stringify({ error }), isError: true };
  };
}

export const badDeploy: EventRow = {
  at: at(299_000),
  type: 'deploy',
  service: 'payment',
  summary: 'payment 1.4.0 deployed (before: 1.3.0).',
  version: '1.4.0',
  previous_version: '1.3.0',
};

const orders = 'postgresql:orders@127.0.0.1:5432';

/** checkout → payment → orders; payment 1.4.0 brought a slow query five minutes ago. */
export function slowPayment(turn = 30): Required<Omit<Script, 'coral_fetch_live'>> {
  return {
    coral_get_health: () =>
      envelope({
        services: ['checkout', 'payment'].map((service) => ({
          service,
          status: 'degraded' as const,
          reason: 'p95 450 ms against 150 ms',
          last_seen: at(0),
          requests_per_s: 20,
          error_rate: 0,
          p95_ms: 450,
          reference: null,
        })),
      }),
    coral_get_topology: () =>
      envelope({
        format: 'json',
        nodes: [
          { id: 'checkout', kind: 'service', name: 'checkout' },
          { id: 'payment', kind: 'service', name: 'payment' },
          { id: orders, kind: 'database', name: 'orders', system: 'postgresql' },
        ],
        edges: [
          ['checkout', 'payment'],
          ['payment', orders],
        ].map(([from, to]) => ({
          from: from as string,
          to: to as string,
          requests: 1,
          requests_per_s: 1,
          error_rate: 0,
          p50_ms: 1,
          p95_ms: 1,
          first_seen: at(1),
          last_seen: at(0),
        })),
      }),
    coral_query: ({ query }) => {
      const rows = String(query).startsWith('dependency')
        ? [
            ...series({ service: 'checkout', dependency: 'payment' }, 62, 362, turn),
            ...series({ service: 'payment', dependency: orders }, 5, 305, turn),
          ]
        : [...series({ service: 'checkout' }, 150, 450, turn), ...series({ service: 'payment' }, 60, 360, turn)];
      return envelope({ kind: 'metrics', canonical: String(query), step_ms: stepMs, rows });
    },
    coral_query_events: () => envelope({ events: [badDeploy] }),
  };
}
