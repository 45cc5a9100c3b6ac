import { rangeArgument, serviceArgument } from '@coral/telemetry-store';
import type { QueryEventsArgs, QueryEventsData, ToolContext, ToolEnvelope, ToolHandler } from '@coral/tools';
import { answerEvents } from '../../telemetry/answer-events.js';
import { readCoverage } from '../../telemetry/coverage.js';
import { envelope } from '../../telemetry/envelope.js';
import { withDefaults, type ToolDeps } from './tool-deps.js';

/** Deployments, restarts and whatever else was seen to happen, newest first. */
export class QueryEventsTool implements ToolHandler<'coral_query_events'> {
  readonly name = 'coral_query_events';
  readonly #deps: Required<ToolDeps>;

  constructor(deps: ToolDeps) {
    this.#deps = withDefaults(deps);
  }

  async run(args: QueryEventsArgs, { now, signal }: ToolContext): Promise<ToolEnvelope<QueryEventsData>> {
    const rangeMs = rangeArgument(args.time_range);
    return await this.#deps.store.read(async (view) => {
      const services = await view.services();
      const names = services.map((service) => service.name);
      const service = args.service === undefined ? undefined : serviceArgument(args.service.trim(), names, 'service');
      const types = args.event_type === undefined ? [] : [args.event_type];
      const answer = await answerEvents(view, { types, service, rangeMs }, now);
      const { coverage, notes } = await readCoverage(view, {
        agents: this.#deps.agents.list(),
        services,
        service,
        from: answer.from,
        to: now,
        stalenessMs: this.#deps.stalenessMs,
      });
      const { events, status, from, newest, truncation } = answer;
      return envelope({
        data: { events },
        status,
        from,
        to: now,
        now,
        newest,
        coverage,
        notes: [...answer.notes, ...notes],
        truncation,
      });
    }, signal);
  }
}
