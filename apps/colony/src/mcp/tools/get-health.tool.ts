import type { GetHealthArgs, GetHealthData, ToolContext, ToolEnvelope, ToolHandler } from '@coral/tools';
import { answerHealth } from '../../telemetry/answer-health.js';
import { readCoverage } from '../../telemetry/coverage.js';
import { envelope } from '../../telemetry/envelope.js';
import { matchServices } from '../../telemetry/service-pattern.js';
import { withDefaults, type ToolDeps } from './tool-deps.js';

/** How each service does now against just before, with the rule that decided. No data is never healthy. */
export class GetHealthTool implements ToolHandler<'coral_get_health'> {
  readonly name = 'coral_get_health';
  readonly #deps: Required<ToolDeps>;

  constructor(deps: ToolDeps) {
    this.#deps = withDefaults(deps);
  }

  async run(args: GetHealthArgs, { now, signal }: ToolContext): Promise<ToolEnvelope<GetHealthData>> {
    const { store, agents, health, stalenessMs } = this.#deps;
    return await store.read(async (view) => {
      const services = await view.services();
      const { coverage, notes, silentByService } = await readCoverage(view, {
        agents: agents.list(),
        services,
        from: now - health.recentMs,
        to: now,
        stalenessMs,
      });
      const wanted = matchServices(args.service_filter, services);
      const answer = await answerHealth(view, wanted, silentByService, now, await view.dataBegin(), health);
      const nothing = services.length === 0 ? ['no data: no agent has reported a service yet'] : [];
      return envelope({
        data: { services: answer.services },
        status: services.length === 0 ? 'no_data' : 'ok',
        from: answer.from,
        to: now,
        now,
        newest: answer.newest,
        coverage,
        notes: [...nothing, ...notes],
      });
    }, signal);
  }
}
