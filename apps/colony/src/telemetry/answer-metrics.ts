import { mergeHistograms } from '@coral/model';
import type {
  Dimension,
  Group,
  Metric,
  MetricsQuestion,
  NodeResolver,
  Selection,
  ServiceKey,
  TelemetryView,
} from '@coral/telemetry-store';
import type { Baseline, MetricRow, ToolEnvelope } from '@coral/tools';
import { timeText } from './envelope.js';
import { baselineOf, numbersOf } from './metric-row.js';
import { answerWindow, baselineWindows, secondsOf, type AnswerWindow } from './window.js';

/** Rows of one answer. More would not be read, by people or by models. */
export const maxRows = { plain: 200, byTime: 3_000 } as const;

type Keys = Pick<MetricRow, 'service' | 'route' | 'version' | 'dependency'>;
interface KeyedGroup extends Group {
  keys: Keys;
  stepMs?: number | undefined;
}

export interface MetricsAnswer {
  rows: MetricRow[];
  window: AnswerWindow;
  newest: number | null;
  notes: string[];
  truncation: ToolEnvelope['truncation'];
}

/** Answers a question about numbers from one moment of the store. */
export async function answerMetrics(
  view: TelemetryView,
  question: MetricsQuestion,
  now: number,
  dataBegin: number | undefined,
): Promise<MetricsAnswer> {
  const { window, notes } = answerWindow(now, question.rangeMs, dataBegin);
  const resolver = question.by.includes('dependency') ? await view.nodeResolver(window.from) : undefined;
  const read = (from: number, to: number, stepMs?: number): Promise<KeyedGroup[]> =>
    readGroups(view, { from, to, service: question.service, agentId: question.agentId }, question.by, resolver, stepMs);

  const groups = await read(window.from, window.gridTo, question.stepMs);
  const newest = groups.reduce<number | null>((last, group) => Math.max(last ?? 0, group.lastMs), null);
  const answer =
    question.stepMs === undefined
      ? await plainRows(question, groups, window, dataBegin, read)
      : timeRows(groups, window, question.stepMs);
  const { rows, truncation } = answer;
  return { rows, window, newest, notes: [...notes, ...answer.notes, ...ambiguityNotes(resolver)], truncation };
}

interface Rows {
  rows: MetricRow[];
  notes: string[];
  truncation: ToolEnvelope['truncation'];
}

async function plainRows(
  question: MetricsQuestion,
  groups: readonly KeyedGroup[],
  window: AnswerWindow,
  dataBegin: number | undefined,
  read: (from: number, to: number) => Promise<KeyedGroup[]>,
): Promise<Rows> {
  const { windows, notes } = baselineWindows(window, dataBegin);
  const current = new Map(groups.map((group) => [keyText(group.keys), group]));
  const keys = new Map(groups.map((group) => [keyText(group.keys), group.keys]));
  const baselines = new Map<string, Baseline[]>();
  for (const one of windows) {
    for (const group of await read(one.from, one.to)) {
      const key = keyText(group.keys);
      // What stopped answering is a finding: it keeps its row, with zero requests.
      if (one.kind === 'previous_window') keys.set(key, group.keys);
      baselines.set(key, [...(baselines.get(key) ?? []), baselineOf(group, one)]);
    }
  }
  const seconds = secondsOf(window.from, window.to);
  const all = [...keys].map(([key, names]): MetricRow => ({
    ...names,
    ...numbersOf(current.get(key), seconds),
    baseline: baselines.get(key) ?? 'no baseline',
  }));
  all.sort((a, b) => compareBy(question.metrics[0] as Metric, a, b));
  const wanted = question.top === undefined ? all : all.slice(0, question.top);
  const rows = wanted.slice(0, maxRows.plain);
  return {
    rows,
    notes,
    truncation: truncationOf(wanted.length, rows.length, 'name a service or ask for fewer with top N'),
  };
}

function timeRows(groups: readonly KeyedGroup[], window: AnswerWindow, stepMs: number): Rows {
  // Whole steps, newest first, as long as they fit: every step that is shown is complete.
  const perStep = Map.groupBy(groups, (group) => group.stepMs as number);
  const kept: KeyedGroup[] = [];
  for (const step of [...perStep.keys()].toSorted((a, b) => b - a)) {
    const ofStep = perStep.get(step) as KeyedGroup[];
    if (kept.length > 0 && kept.length + ofStep.length > maxRows.byTime) break;
    kept.push(...ofStep);
  }
  const rows = kept.map((group): MetricRow & { start: string } => {
    const start = group.stepMs as number;
    const seconds = secondsOf(Math.max(start, window.from), Math.min(start + stepMs, window.to));
    return { ...group.keys, start: timeText(start), ...numbersOf(group, seconds) };
  });
  rows.sort((a, b) => compareText(keyText(a), keyText(b)) || compareText(a.start, b.start));
  const how = 'the oldest steps are left out; ask for a shorter time, a longer step or one service';
  return { rows, notes: [], truncation: truncationOf(groups.length, rows.length, how) };
}

async function readGroups(
  view: TelemetryView,
  selection: Selection,
  by: readonly Dimension[],
  resolver: NodeResolver | undefined,
  stepMs: number | undefined,
): Promise<KeyedGroup[]> {
  if (resolver === undefined) {
    const keys = by.filter((dimension): dimension is ServiceKey => dimension !== 'time' && dimension !== 'dependency');
    const groups = await view.serviceGroups(selection, keys, stepMs);
    return groups.map(({ service, route, version, ...group }) => ({
      ...group,
      keys: {
        ...(service === undefined ? {} : { service }),
        ...(route === undefined ? {} : { route }),
        ...(version === undefined ? {} : { version }),
      },
    }));
  }
  const named = (await view.edgeGroups(selection, stepMs)).map((edge): KeyedGroup => ({
    requests: edge.requests,
    errors: edge.errors,
    latency: edge.latency,
    firstMs: edge.firstMs,
    lastMs: edge.lastMs,
    stepMs: edge.stepMs,
    keys: { ...(by.includes('service') ? { service: edge.service } : {}), dependency: resolver.nodeOf(edge).id },
  }));
  return [...Map.groupBy(named, (group) => `${group.stepMs ?? ''} ${keyText(group.keys)}`).values()].map(addGroups);
}

/** One group of several: counts add up, histograms merge. */
export function addGroups<G extends Group>(groups: readonly G[]): G {
  const [first] = groups as readonly [G, ...G[]];
  if (groups.length === 1) return first;
  return {
    ...first,
    requests: groups.reduce((sum, group) => sum + group.requests, 0),
    errors: groups.reduce((sum, group) => sum + group.errors, 0),
    latency: mergeHistograms(groups.map((group) => group.latency)),
    firstMs: Math.min(...groups.map((group) => group.firstMs)),
    lastMs: Math.max(...groups.map((group) => group.lastMs)),
  };
}

const sortKeys: Record<Metric, (row: MetricRow) => number | null> = {
  latency: (row) => row.p95_ms,
  p50: (row) => row.p50_ms,
  p95: (row) => row.p95_ms,
  p99: (row) => row.p99_ms,
  errors: (row) => row.errors,
  'error rate': (row) => row.error_rate,
  throughput: (row) => row.requests,
};

/** Worst or largest first; what has no value comes last. */
function compareBy(metric: Metric, a: MetricRow, b: MetricRow): number {
  const valueOf = sortKeys[metric];
  return (valueOf(b) ?? -1) - (valueOf(a) ?? -1) || b.requests - a.requests || compareText(keyText(a), keyText(b));
}

function keyText({ service, route, version, dependency }: Keys): string {
  return JSON.stringify([service, route, version, dependency]);
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function truncationOf(all: number, shown: number, how: string): ToolEnvelope['truncation'] {
  if (shown === all) return { truncated: false };
  return { truncated: true, note: `${shown} of ${all} rows are shown; ${how}` };
}

/** Addresses behind which several services answered. */
export function ambiguityNotes(resolver: NodeResolver | undefined): string[] {
  if (resolver === undefined) return [];
  return [...resolver.ambiguous].map(
    ([address, services]) =>
      `${address} stands for several services (${services.join(', ')}): its calls cannot be told apart`,
  );
}
