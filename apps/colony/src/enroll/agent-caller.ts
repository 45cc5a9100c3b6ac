import { credentials } from '@grpc/grpc-js';
import { CoralError } from '@coral/errors';
import type { AgentId } from '@coral/model';
import { agentV1, callUnary, durationToProto, grpcClientOptions, openMeshChannel } from '@coral/rpc';
import type { MeshChannel } from '@coral/rpc';
import { agentGrpcPort } from '../edge/mesh-ports.js';
import type { ColonyMesh } from '../mesh/colony-mesh.js';
import type { AgentCaller, LiveAnswer } from '../telemetry/agents.js';
import type { AgentRoster } from './agent-roster.js';

/** What the agent may need beyond its own limit to say that it was reached. */
const answerGraceMs = 1_000;

interface Line {
  channel: MeshChannel;
  client: agentV1.AgentServiceClient;
}

/** Calls AgentService at the agents, over the mesh. One line per agent, opened at its first call and kept. */
export class MeshAgentCaller implements AgentCaller, AsyncDisposable {
  private readonly mesh: ColonyMesh;
  private readonly roster: AgentRoster;
  private readonly lines = new Map<AgentId, Promise<Line>>();

  constructor(mesh: ColonyMesh, roster: AgentRoster) {
    this.mesh = mesh;
    this.roster = roster;
  }

  async runQuery(
    agentId: AgentId,
    sql: string,
    limits: { maxRows: number; maxBytes: number; timeoutMs: number },
    signal: AbortSignal,
  ): Promise<LiveAnswer> {
    const { client, channel } = await this.lineTo(agentId);
    const request = {
      sql,
      maxRows: limits.maxRows,
      maxBytes: limits.maxBytes,
      timeout: durationToProto(limits.timeoutMs),
    };
    try {
      const deadlineMs = limits.timeoutMs + answerGraceMs;
      const answer = await callUnary(client, client.runQuery, request, { deadlineMs, signal, far: 'agent' });
      return {
        columns: answer.columns.map(({ name, type }) => ({ name, type })),
        rows: rowsOf(answer.rowsJson),
        truncated: answer.truncated,
        asOf: answer.asOfMs,
        oldest: answer.oldestMs,
      };
    } catch (thrown) {
      // gRPC says only "unavailable"; why the dial failed is known to the channel.
      const why = channel.lastDialError();
      if (why !== undefined && thrown instanceof CoralError && thrown.reason === 'agent_unreachable') throw why;
      throw thrown;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const lines = await Promise.allSettled(this.lines.values());
    for (const line of lines) {
      if (line.status === 'rejected') continue;
      line.value.client.close();
      await line.value.channel.close();
    }
  }

  private lineTo(agentId: AgentId): Promise<Line> {
    const known = this.lines.get(agentId);
    if (known !== undefined) return known;
    const opened = this.open(agentId);
    this.lines.set(agentId, opened);
    opened.catch(() => this.lines.delete(agentId));
    return opened;
  }

  private async open(agentId: AgentId): Promise<Line> {
    const agent = this.roster.find(agentId);
    if (agent === undefined) throw unknownAgent(agentId);
    const address = this.mesh.plan.addressesOf(agent.host).v4;
    const channel = await openMeshChannel(this.mesh.mesh, address, agentGrpcPort);
    const client = new agentV1.AgentServiceClient(channel.target, credentials.createInsecure(), grpcClientOptions);
    return { channel, client };
  }
}

function rowsOf(json: Buffer): unknown[][] {
  const rows: unknown = json.length === 0 ? [] : JSON.parse(json.toString('utf8'));
  if (Array.isArray(rows) && rows.every((row) => Array.isArray(row))) return rows;
  throw new CoralError({
    kind: 'internal',
    reason: 'bad_agent_answer',
    message: 'The agent answered with rows that are no rows.',
    next: 'Compare the versions of the agent and the colony.',
  });
}

function unknownAgent(agentId: AgentId): CoralError {
  return new CoralError({
    kind: 'not_found',
    reason: 'unknown_agent',
    where: 'agent_id',
    message: `No agent ${agentId} is enrolled.`,
  });
}
