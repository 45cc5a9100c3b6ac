import type { TelemetryView } from '@coral/telemetry-store';
import type { EventRow, EventType, ToolEnvelope } from '@coral/tools';

export const maxEvents = 500;

export interface EventsAnswer {
  /** Newest first. */
  events: EventRow[];
  status: ToolEnvelope['status'];
  from: number;
  newest: number | null;
  notes: string[];
  truncation: ToolEnvelope['truncation'];
}

export interface EventsWanted {
  types: readonly EventType[];
  service?: string | undefined;
  agentId?: string | undefined;
  rangeMs: number;
}

/** What happened in the last `rangeMs`. No events in a store with data is an answer; in an empty store it is `no_data`. */
export async function answerEvents(view: TelemetryView, wanted: EventsWanted, now: number): Promise<EventsAnswer> {
  const { types, service, agentId, rangeMs } = wanted;
  const begin = await view.observedSince();
  const asked = now - rangeMs;
  const from = begin !== undefined && begin > asked && begin <= now ? begin : asked;
  const notes = from > asked ? [`asked from ${at(asked)}, but observation begins at ${at(from)}`] : [];
  if (begin === undefined) notes.push('no data: no agent has reported anything yet');
  const found = await view.events({ from, to: now + 1, types, service, agentId, limit: maxEvents + 1 });
  const events = found.slice(0, maxEvents);
  const [newest] = events;
  return {
    events,
    status: begin === undefined ? 'no_data' : 'ok',
    from,
    newest: newest === undefined ? null : Date.parse(newest.at),
    notes,
    truncation:
      found.length > maxEvents
        ? { truncated: true, note: `the newest ${maxEvents} events are shown; ask for a shorter time or one service` }
        : { truncated: false },
  };
}

function at(ms: number): string {
  return new Date(ms).toISOString();
}
