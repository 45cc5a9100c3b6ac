import { rangeArgument } from '@coral/telemetry-store';
import type { GetTopologyArgs, GetTopologyData, ToolContext, ToolEnvelope, ToolHandler } from '@coral/tools';
import { answerTopology, type TopologyAnswer } from '../../telemetry/answer-topology.js';
import { readCoverage } from '../../telemetry/coverage.js';
import { envelope } from '../../telemetry/envelope.js';
import { toDot } from '../../telemetry/graphviz.js';
import { withDefaults, type ToolDeps } from './tool-deps.js';

/** Who calls whom, how often, how well. */
export class GetTopologyTool implements ToolHandler<'coral_get_topology'> {
  readonly name = 'coral_get_topology';
  readonly #deps: Required<ToolDeps>;

  constructor(deps: ToolDeps) {
    this.#deps = withDefaults(deps);
  }

  async run(args: GetTopologyArgs, { now, signal }: ToolContext): Promise<ToolEnvelope<GetTopologyData>> {
    const rangeMs = rangeArgument(args.time_range);
    return await this.#deps.store.read(async (view) => {
      const answer = await answerTopology(view, rangeMs, now, await view.dataBegin());
      const { nodes, edges, window, newest } = answer;
      const { coverage, notes } = await readCoverage(view, {
        agents: this.#deps.agents.list(),
        services: await view.services(),
        from: window.from,
        to: window.to,
        stalenessMs: this.#deps.stalenessMs,
      });
      const data: GetTopologyData =
        args.format === 'json' ? { format: 'json', nodes, edges } : { format: 'graphviz', text: toDot(nodes, edges) };
      const nothing = nodes.length === 0 ? ['no data: no service was seen in this window'] : [];
      return envelope({
        data,
        status: nodes.length === 0 ? 'no_data' : 'ok',
        from: window.from,
        to: window.to,
        now,
        newest,
        coverage,
        notes: [...nothing, ...answer.notes, ...notes],
        truncation: truncationOf(answer),
      });
    }, signal);
  }
}

function truncationOf({ nodes, edges, found }: TopologyAnswer): ToolEnvelope['truncation'] {
  if (nodes.length === found.nodes && edges.length === found.edges) return { truncated: false };
  const note = `${nodes.length} of ${found.nodes} nodes and the ${edges.length} busiest of ${found.edges} edges are shown; ask for a shorter time`;
  return { truncated: true, note };
}
