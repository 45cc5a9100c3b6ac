import { namesIn } from '@coral/diagnosis';
import type {
  EventRow,
  GetHealthData,
  GetTopologyData,
  QueryEventsData,
  ServiceHealth,
  ToolDefinition,
  ToolEnvelope,
} from '@coral/tools';
import type { Board, Wanted } from './board.js';
import { rangeIn, rangeText, type Intent } from './intent.js';

/** An answer that one tool gives. */
export type Readout = { do: 'call'; calls: Wanted[] } | { do: 'say'; text: string; sure: boolean };

const hour = 3_600_000;
/** Rows that a spoken answer names; the rest is a count. */
const mostNamed = 10;

function callFor(intent: Intent, question: string): Wanted {
  const range = rangeIn(question);
  if (intent === 'topology')
    return { name: 'coral_get_topology', args: { format: 'json', time_range: rangeText(range ?? hour) } };
  if (intent === 'health') return { name: 'coral_get_health', args: {} };
  const type = intent === 'deployments' ? { event_type: 'deploy' } : {};
  return { name: 'coral_query_events', args: { ...type, time_range: rangeText(range ?? 24 * hour) } };
}

/** Reads out what the fitting tool says, in short sentences. */
export function readOut(intent: Intent, board: Board, tools: readonly ToolDefinition[]): Readout {
  if (intent === 'comparison') {
    return {
      do: 'say',
      sure: false,
      text: 'The provider builtin cannot compare two times or places. It can say what is slow or failing now and which change explains it; for a comparison ask coral query, whose numbers carry their baseline, or use a model.',
    };
  }
  const call = callFor(intent, board.question);
  if (!tools.some((tool) => tool.name === call.name)) {
    return { do: 'say', sure: false, text: `This needs the tool ${call.name}, which is not open to you.` };
  }
  const answer = board.answerTo(call);
  if (answer === undefined) return { do: 'call', calls: [call] };
  if (answer.is === 'refused') {
    return {
      do: 'say',
      sure: false,
      text: `It could not be looked up: ${answer.message}${answer.next === undefined ? '' : ` ${answer.next}`}`,
    };
  }
  const { envelope } = answer;
  const { silent } = envelope.coverage;
  const gap = silent.length === 0 ? '' : ` Not seen: no answer from ${silent.join(', ')}.`;
  const sure = silent.length === 0 && envelope.status === 'ok';
  if (envelope.status !== 'ok') {
    const why = envelope.status === 'no_data' ? 'There is no data yet' : 'There is data, but none that you may see';
    return {
      do: 'say',
      sure,
      text: `${why}${envelope.notes.length > 0 ? `: ${envelope.notes.join('; ')}` : ''}.${gap}`,
    };
  }
  return { do: 'say', sure, text: `${say(intent, board.question, envelope)}${gap}` };
}

function say(intent: Intent, question: string, envelope: ToolEnvelope): string {
  if (intent === 'topology') return sayTopology(question, (envelope as ToolEnvelope<GetTopologyData>).data);
  if (intent === 'health') return sayHealth(question, (envelope as ToolEnvelope<GetHealthData>).data.services);
  const { events } = (envelope as ToolEnvelope<QueryEventsData>).data;
  return sayEvents(intent, question, events, envelope.window.from);
}

function sayEvents(intent: Intent, question: string, events: readonly EventRow[], from: string): string {
  const names = new Set(namesIn(question, [...new Set(events.map((e) => e.service))]));
  const shown = events.filter((event) => names.size === 0 || names.has(event.service));
  const what = intent === 'deployments' ? 'deployment' : 'event';
  const since = `since ${clock(from)}`;
  if (shown.length === 0) return `There was no ${what} ${since}.`;
  const lines = shown.slice(0, mostNamed).map((event) => `${clock(event.at)}: ${event.summary.replace(/\.$/, '')}.`);
  const rest = shown.length > lines.length ? [`And ${shown.length - lines.length} more.`] : [];
  return [
    `There ${shown.length === 1 ? 'was' : 'were'} ${shown.length} ${what}${shown.length === 1 ? '' : 's'} ${since}, newest first.`,
    ...lines,
    ...rest,
  ].join('\n');
}

/** `2026-11-21 14:30:05 UTC` */
function clock(at: string): string {
  return `${at.slice(0, 19).replace('T', ' ')} UTC`;
}

function sayTopology(question: string, data: GetTopologyData): string {
  if (data.format === 'graphviz') return data.text;
  const label = new Map(
    data.nodes.map((node) => [
      node.id,
      node.kind === 'service' ? node.name : `${node.name === '' ? node.id : node.name} (${node.system ?? node.kind})`,
    ]),
  );
  const name = (id: string): string => label.get(id) ?? id;
  const byName = new Map(
    data.nodes.flatMap((node) => [
      [node.id, node.id] as const,
      ...(node.name === '' ? [] : [[node.name, node.id] as const]),
    ]),
  );
  const asked = namesIn(question, [...byName.keys()]).map((word) => byName.get(word) as string);
  const list = (ids: readonly string[]): string =>
    ids.length === 0 ? 'nothing that was seen' : ids.map(name).join(', ');
  const targets =
    asked.length > 0
      ? asked
      : data.nodes.filter((node) => data.edges.some((edge) => edge.from === node.id)).map((node) => node.id);
  const lines = targets.slice(0, mostNamed * 2).flatMap((id) => {
    const callees = data.edges.filter((edge) => edge.from === id).map((edge) => edge.to);
    const callers = data.edges.filter((edge) => edge.to === id).map((edge) => edge.from);
    const calls = `${name(id)} calls ${list(callees)}.`;
    return asked.length > 0 ? [calls, `${name(id)} is called by ${list(callers)}.`] : [calls];
  });
  const rest =
    targets.length > mostNamed * 2 ? [`And ${targets.length - mostNamed * 2} more services call others.`] : [];
  return lines.length === 0 ? 'No calls between services were seen.' : [...lines, ...rest].join('\n');
}

function sayHealth(question: string, services: readonly ServiceHealth[]): string {
  const names = namesIn(
    question,
    services.map((s) => s.service),
  );
  const wanted = names.length > 0 ? services.filter((s) => names.includes(s.service)) : services;
  if (wanted.length === 0) return 'No service is known yet.';
  const ill = wanted.filter((s) => s.status === 'degraded' || s.status === 'down');
  const unknown = wanted.filter((s) => s.status === 'unknown');
  const well = wanted.filter((s) => s.status === 'healthy');
  const lines = [...ill, ...unknown]
    .slice(0, mostNamed)
    .map((s) => `${s.service} is ${s.status}: ${s.reason.replace(/\.$/, '')}.`);
  const healthy =
    well.length === 0
      ? []
      : [
          well.length === 1
            ? `${(well[0] as ServiceHealth).service} is healthy: ${(well[0] as ServiceHealth).reason.replace(/\.$/, '')}.`
            : `${well.length} services are healthy: ${well.map((s) => s.service).join(', ')}.`,
        ];
  const advice =
    ill.length === 0
      ? []
      : [
          `To find out why, ask: Why is ${(ill[0] as ServiceHealth).service} ${(ill[0] as ServiceHealth).status === 'down' ? 'failing' : 'slow'}?`,
        ];
  return [...lines, ...healthy, ...advice].join('\n');
}
