import type { Group, TelemetryView } from '@coral/telemetry-store';
import type { EdgeRow, NodeRow } from '@coral/tools';
import { addGroups, ambiguityNotes } from './answer-metrics.js';
import { timeText } from './envelope.js';
import { percentileMs, significant } from './metric-row.js';
import { answerWindow, secondsOf, type AnswerWindow } from './window.js';

export const maxTopology = { nodes: 500, edges: 2_000 } as const;

export interface TopologyAnswer {
  nodes: NodeRow[];
  edges: EdgeRow[];
  window: AnswerWindow;
  newest: number | null;
  notes: string[];
  /** How many there were before the caps. */
  found: { nodes: number; edges: number };
}

interface NamedEdge extends Group {
  from: string;
  to: string;
}

/** Who calls whom. A service without calls is a node too: it exists. */
export async function answerTopology(
  view: TelemetryView,
  rangeMs: number,
  now: number,
  dataBegin: number | undefined,
): Promise<TopologyAnswer> {
  const { window, notes } = answerWindow(now, rangeMs, dataBegin);
  const resolver = await view.nodeResolver(window.from);
  const nodes = new Map<string, NodeRow>();
  const addService = (name: string): void => void nodes.set(name, { id: name, kind: 'service', name });
  for (const service of await view.services()) if (service.lastSeenMs > window.from) addService(service.name);

  const named = (await view.edgeGroups({ from: window.from, to: window.gridTo })).map((edge): NamedEdge => {
    const target = resolver.nodeOf(edge);
    addService(edge.service);
    // A service that was called is a service, whatever else has its name.
    if (nodes.get(target.id)?.kind !== 'service') nodes.set(target.id, target);
    const { requests, errors, latency, firstMs, lastMs } = edge;
    return { requests, errors, latency, firstMs, lastMs, from: edge.service, to: target.id };
  });
  const merged = [...Map.groupBy(named, (edge) => JSON.stringify([edge.from, edge.to])).values()].map(addGroups);
  merged.sort((a, b) => b.requests - a.requests || compare(a.from, b.from) || compare(a.to, b.to));
  const seconds = secondsOf(window.from, window.to);
  const edges = merged.slice(0, maxTopology.edges).map((edge) => edgeRow(edge, seconds, now));
  const allNodes = [...nodes.values()].toSorted((a, b) => compare(a.id, b.id));
  const newest = named.reduce<number | null>((last, edge) => Math.max(last ?? 0, edge.lastMs), null);
  return {
    nodes: allNodes.slice(0, maxTopology.nodes),
    edges,
    window,
    newest,
    notes: [...notes, ...ambiguityNotes(resolver)],
    found: { nodes: allNodes.length, edges: merged.length },
  };
}

function edgeRow(edge: NamedEdge, seconds: number, now: number): EdgeRow {
  return {
    from: edge.from,
    to: edge.to,
    requests: edge.requests,
    requests_per_s: significant(edge.requests / seconds),
    error_rate: edge.requests === 0 ? 0 : significant(edge.errors / edge.requests),
    p50_ms: percentileMs(edge.latency, 0.5),
    p95_ms: percentileMs(edge.latency, 0.95),
    first_seen: timeText(edge.firstMs),
    last_seen: timeText(Math.min(edge.lastMs, now)),
  };
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
