import { CoralError } from '@coral/errors';
import { nearestWords } from '@coral/telemetry-store';
import type { Caller, FetchLiveArgs, FetchLiveData, ToolContext, ToolEnvelope, ToolHandler } from '@coral/tools';
import { labelOf, type AgentInfo } from '../../telemetry/agents.js';
import { envelope, timeText } from '../../telemetry/envelope.js';
import { withDefaults, type ToolDeps } from './tool-deps.js';

const maxListed = 10;

class UnknownAgent extends CoralError {
  constructor(agentId: string, visible: readonly AgentInfo[]) {
    const near = nearestWords(
      agentId,
      visible.flatMap((agent) => [agent.agentId, agent.name]),
    );
    const listed = visible.slice(0, maxListed).map(labelOf).join(', ') || 'none';
    const rest = visible.length > maxListed ? ` and ${visible.length - maxListed} more` : '';
    super({
      kind: 'not_found',
      reason: 'unknown_agent',
      where: 'agent_id',
      message: `No agent has the id ${JSON.stringify(agentId)}${near.length > 0 ? `; nearest: ${near.join(', ')}` : ''}. Agents you may ask: ${listed}${rest}.`,
      next: 'Use the id of one of them (agt-…).',
    });
  }
}

class AgentUnreachable extends CoralError {
  constructor(agent: AgentInfo, cause: CoralError) {
    const last = agent.lastSeen === undefined ? 'never' : timeText(agent.lastSeen);
    super({
      kind: 'unavailable',
      reason: 'agent_unreachable',
      where: 'agent_id',
      message: `Agent ${labelOf(agent)} does not answer; it was last seen ${last}.`,
      next: 'Check that it runs and try again; coral_query answers from what it sent before.',
      cause,
    });
  }
}

/** SQL at one agent, over the newest spans, which only the agent has. */
export class FetchLiveTool implements ToolHandler<'coral_fetch_live'> {
  readonly name = 'coral_fetch_live';
  readonly #deps: Required<ToolDeps>;

  constructor(deps: ToolDeps) {
    this.#deps = withDefaults(deps);
  }

  async run(args: FetchLiveArgs, context: ToolContext): Promise<ToolEnvelope<FetchLiveData>> {
    const agent = this.#agent(args.agent_id, context.caller);
    const { agentCaller, sql: limits } = this.#deps;
    const answer = await agentCaller
      .runQuery(agent.agentId, args.sql_query, limits, context.signal)
      .catch((thrown: unknown) => {
        // Only silence is translated: what the agent's gate says about the SQL is for the caller to mend.
        if (thrown instanceof CoralError && isSilence(thrown)) throw new AgentUnreachable(agent, thrown);
        throw thrown;
      });
    const { columns, rows, truncated, asOf, oldest } = answer;
    const empty = oldest === 0;
    return envelope({
      data: { kind: 'table', columns, rows, agent_id: agent.agentId, as_of: timeText(asOf) },
      status: empty ? 'no_data' : 'ok',
      from: empty ? asOf : oldest,
      to: asOf,
      now: Math.max(context.now, asOf),
      newest: empty ? null : asOf,
      coverage: { asked: 1, answered: [labelOf(agent)], late: [], silent: [], denied: [] },
      notes: empty ? [`no data: agent ${labelOf(agent)} holds no spans`] : [],
      truncation: truncated
        ? { truncated: true, note: `only the first ${rows.length} rows are shown; aggregate or add LIMIT` }
        : { truncated: false },
    });
  }

  #agent(agentId: string, caller: Caller): AgentInfo {
    const { agents } = this.#deps;
    const visible = agents.visibleTo?.(caller) ?? agents.list();
    const found = visible.find((agent) => agent.agentId === agentId);
    if (found === undefined) throw new UnknownAgent(agentId, visible);
    return found;
  }
}

/** Nobody there, or somebody who said nothing until long after SQL that is too slow would have been stopped. */
function isSilence({ kind, reason }: CoralError): boolean {
  return (kind === 'unavailable' && !saidByAgent.has(reason)) || reason === 'deadline';
}

/** `unavailable` for reasons of the agent's own: it was reached. */
const saidByAgent: ReadonlySet<string> = new Set(['sql_cage_failed', 'snapshot_failed', 'store_not_ready']);
