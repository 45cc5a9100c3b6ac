import type { ToolData, ToolEnvelope } from '@coral/tools';

/** For specs: a complete answer over one hour in which all agents took part. */
export function envelopeOf<D extends ToolData>(data: D, more: Partial<ToolEnvelope<D>> = {}): ToolEnvelope<D> {
  return {
    data,
    status: 'ok',
    window: { from: '2026-11-21T10:00:00.000Z', to: '2026-11-21T11:00:00.000Z' },
    freshness: { newest: '2026-11-21T10:59:57.000Z', age_ms: 3_000 },
    coverage: { asked: 3, answered: ['agt-a', 'agt-b', 'agt-c'], late: [], silent: [], denied: [] },
    sampling: { factor: 1 },
    truncation: { truncated: false },
    notes: [],
    ...more,
  };
}
