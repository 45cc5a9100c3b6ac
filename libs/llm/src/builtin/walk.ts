import { diagnose, readQuestion, type Diagnosis, type Observations } from '@coral/diagnosis';
import type {
  EventRow,
  GetHealthData,
  GetTopologyData,
  MetricRow,
  QueryData,
  QueryEventsData,
  ToolDefinition,
  ToolEnvelope,
} from '@coral/tools';
import { rangeIn, rangeText } from './intent.js';
import type { Board, Wanted } from './board.js';

/** What to do next: ask, or answer. */
export type Move = { do: 'call'; calls: Wanted[] } | { do: 'conclude'; diagnosis: Diagnosis };

const minute = 60_000;
/** Looked at first: a cause is mostly recent, and steps are 10 s long. */
const firstRangeMs = 15 * minute;
/** Looked at second when someone is ill and it does not show since when. */
const widerRangeMs = 4 * 60 * minute;
/** Below this step count a cut answer is too short to hold a before and an after. */
const leastSteps = 20;
/** Events from before the window can cause a change at its start. */
const eventMarginMs = 15 * minute;

interface Window {
  rangeMs: number;
  /** Only asked for when the colony cut the usual answer short. */
  step?: '1m' | '10m' | '1h';
}

const healthCall: Wanted = { name: 'coral_get_health', args: {} };

function topologyCall({ rangeMs }: Window): Wanted {
  return {
    name: 'coral_get_topology',
    args: { format: 'json', time_range: rangeText(Math.max(rangeMs, 60 * minute)) },
  };
}

/** The colony's language: docs/query-language.md. One metrics question brings requests, errors and percentiles alike. */
export function seriesCalls({ rangeMs, step }: Window): [Wanted, Wanted] {
  const time = `last ${rangeText(rangeMs)}${step === undefined ? '' : `, step ${step}`}`;
  const ask = (query: string): Wanted => ({ name: 'coral_query', args: { query: `${query}, ${time}` } });
  return [ask('latency by service by time'), ask('dependency latency by service by dependency by time')];
}

function eventsCall({ rangeMs }: Window): Wanted {
  return { name: 'coral_query_events', args: { time_range: rangeText(rangeMs + eventMarginMs) } };
}

/** Health, topology, numbers of services and of what they call, events; once more over a longer time when that may help. */
export class Walk {
  constructor(
    private readonly board: Board,
    private readonly tools: readonly ToolDefinition[],
  ) {}

  next(): Move {
    const asked = rangeIn(this.board.question);
    const first = this.look({ rangeMs: firstRangeMs });
    if ('calls' in first) return { do: 'call', calls: first.calls };
    const { diagnosis } = first;
    const wider = this.widerRange(diagnosis, first.observations, asked);
    if (wider === undefined) return { do: 'conclude', diagnosis };
    const second = this.look({ rangeMs: wider });
    if ('calls' in second) return { do: 'call', calls: second.calls };
    // The longer look has coarser steps: it counts only when it found what the first did not.
    return { do: 'conclude', diagnosis: second.diagnosis.symptom === null ? diagnosis : second.diagnosis };
  }

  private widerRange(found: Diagnosis, o: Observations, asked: number | undefined): number | undefined {
    const isIll = o.health.some((h) => h.status === 'degraded' || h.status === 'down');
    const wanted = asked ?? (isIll ? widerRangeMs : firstRangeMs);
    if (wanted <= firstRangeMs || this.isClipped()) return undefined;
    return found.cause === null || beganAtStart(found, o) ? wanted : undefined;
  }

  /** Data begins inside the short window already: a longer one holds nothing more. */
  private isClipped(): boolean {
    const [services] = seriesCalls({ rangeMs: firstRangeMs });
    const envelope = this.envelope(services);
    if (envelope === undefined) return true;
    return Date.parse(envelope.window.to) - Date.parse(envelope.window.from) < firstRangeMs - minute;
  }

  /** Calls still to be made for a window, or what they show. */
  private look(window: Window): { calls: Wanted[] } | { diagnosis: Diagnosis; observations: Observations } {
    const rounds = [[healthCall], [topologyCall(window)], [...seriesCalls(window), eventsCall(window)]];
    for (const round of rounds) {
      const calls = round.filter((call) => this.isOffered(call) && this.board.answerTo(call) === undefined);
      if (calls.length > 0) return { calls };
    }
    const coarser = this.coarser(window);
    if (coarser !== undefined) return this.look(coarser);
    const observations = this.observe(window);
    const names = [
      ...observations.nodes.map((n) => n.name),
      ...observations.nodes.map((n) => n.id),
      ...observations.health.map((h) => h.service),
    ];
    const question = readQuestion(this.board.question, [...new Set(names)]);
    return { diagnosis: this.withGaps(diagnose(question, observations)), observations };
  }

  /** An answer that had to leave out old steps is asked again with longer ones. */
  private coarser(window: Window): Window | undefined {
    const short = seriesCalls(window).some((call) => {
      const envelope = this.envelope(call) as ToolEnvelope<QueryData> | undefined;
      if (envelope === undefined || !envelope.truncation.truncated || envelope.data.kind !== 'metrics') return false;
      return new Set(envelope.data.rows.map((row) => row.start)).size < leastSteps;
    });
    if (!short) return undefined;
    const steps = ['1m', '10m', '1h'] as const;
    const next =
      window.step === undefined ? steps[window.rangeMs <= 30 * minute ? 0 : 1] : steps[steps.indexOf(window.step) + 1];
    return next === undefined ? undefined : { ...window, step: next };
  }

  private isOffered(call: Wanted): boolean {
    return this.tools.some((tool) => tool.name === call.name);
  }

  private envelope(call: Wanted): ToolEnvelope | undefined {
    const answer = this.board.answerTo(call);
    return answer?.is === 'data' ? answer.envelope : undefined;
  }

  private observe(window: Window): Observations {
    const health = this.envelope(healthCall) as ToolEnvelope<GetHealthData> | undefined;
    const topology = this.envelope(topologyCall(window)) as ToolEnvelope<GetTopologyData> | undefined;
    const [services, dependencies] = seriesCalls(window).map(
      (call) => this.envelope(call) as ToolEnvelope<QueryData> | undefined,
    );
    const events = this.envelope(eventsCall(window)) as ToolEnvelope<QueryEventsData> | undefined;
    const graph = topology?.data.format === 'json' ? topology.data : { nodes: [], edges: [] };
    const seen = [health, topology, services, dependencies, events].filter((envelope) => envelope !== undefined);
    const { rows, stepMs } = rowsOf(services);
    const series = rowsOf(dependencies);
    return {
      now: Math.max(0, ...seen.map((envelope) => Date.parse(envelope.window.to))),
      nodes: graph.nodes,
      edges: graph.edges,
      health: health?.data.services ?? [],
      serviceSeries: rows,
      dependencySeries: series.stepMs === stepMs || rows.length === 0 ? series.rows : [],
      stepMs: rows.length === 0 ? series.stepMs : stepMs,
      events: (events?.data.events ?? []) satisfies EventRow[],
      silentAgents: [...new Set(seen.flatMap((envelope) => envelope.coverage.silent))].toSorted(),
    };
  }

  /** Tools that are not open or refused, late agents and cut answers: named, and an answer without them is less sure. */
  private withGaps(diagnosis: Diagnosis): Diagnosis {
    const gaps = missingTools(this.board, this.tools);
    const answers = this.board.all().flatMap((answer) => (answer.is === 'data' ? [answer.envelope] : []));
    const late = [...new Set(answers.flatMap((envelope) => envelope.coverage.late))].toSorted();
    if (late.length > 0) gaps.push(`agents that are late: ${late.join(', ')}`);
    const said = answers.flatMap((envelope) =>
      envelope.status === 'ok'
        ? []
        : envelope.status === 'no_data'
          ? ['no data']
          : ['there is data, but none that you may see'],
    );
    const [nothing] = answers.length > 0 && said.length === answers.length ? said : [];
    if (nothing !== undefined) gaps.push(`${nothing} for anything that was asked`);
    if (gaps.length === 0) return diagnosis;
    const verdict =
      diagnosis.cause === null ? 'INCONCLUSIVE' : diagnosis.verdict === 'CONFIRMED' ? 'LIKELY' : diagnosis.verdict;
    const told = `${diagnosis.gaps.length > 0 ? 'Nor' : 'Not seen'}: ${gaps.join('; ')}.`;
    return { ...diagnosis, verdict, gaps: [...diagnosis.gaps, ...gaps], text: `${diagnosis.text} ${told}` };
  }
}

/** One line per tool that could not be used, with the reason the colony gave. */
export function missingTools(board: Board, tools: readonly ToolDefinition[]): string[] {
  const refused = board
    .all()
    .flatMap((answer) => (answer.is === 'refused' ? [answer.message.replace(/[.\s]+$/, '')] : []));
  const needed = ['coral_get_health', 'coral_get_topology', 'coral_query', 'coral_query_events'];
  const closed = needed.filter((name) => !tools.some((tool) => tool.name === name));
  // Without any tool the budget is what ended, or nothing is allowed at all: the caller tells which.
  const shut =
    closed.length === needed.length || closed.length === 0
      ? []
      : [`the tools ${closed.join(', ')} are not open to you`];
  return [...new Set([...refused, ...shut])];
}

function rowsOf(envelope: ToolEnvelope<QueryData> | undefined): { rows: MetricRow[]; stepMs: number } {
  if (envelope?.data.kind !== 'metrics') return { rows: [], stepMs: 10_000 };
  return { rows: envelope.data.rows, stepMs: envelope.data.step_ms ?? 10_000 };
}

/** A change with hardly anything before it may be the middle of a longer one. */
function beganAtStart(found: Diagnosis, o: Observations): boolean {
  if (found.symptom === null) return false;
  const starts = o.serviceSeries.map((row) => Date.parse(row.start ?? '')).filter((start) => !Number.isNaN(start));
  return Date.parse(found.symptom.since) - Math.min(...starts) <= 5 * o.stepMs;
}
