import type { AgentId, KeyId } from '@coral/model';
import type { Caller } from '@coral/tools';

/** What answers need to know of a permanent agent. */
export interface AgentInfo {
  agentId: AgentId;
  /** For people. */
  name: string;
  /** Wall clock ms of the last sign of life; undefined: none since it enrolled. */
  lastSeen: number | undefined;
  /** Services it spoke of. */
  services: readonly string[];
}

/** Who should have answered. Revoked agents are not in it. */
export interface AgentDirectory {
  list(): readonly AgentInfo[];
  /** The agents that this caller may know of; absent: all. */
  visibleTo?(caller: Caller): readonly AgentInfo[];
}

/** The colony's register, as the intake of summaries needs it. */
export interface AgentRegistry {
  agentOf(keyId: KeyId): { agentId: AgentId; name: string; owner: string } | undefined;
  /** A sign of life, and the services of that batch. */
  touch(agentId: AgentId, at: number, services: readonly string[]): void;
  /** Mesh driver `direct` only: where the agent's end listens; empty: nowhere. */
  setDirectEndpoint(agentId: AgentId, endpoint: string): void;
}

/** Runs SQL at one agent, over the mesh. */
export interface AgentCaller {
  /** Errors: `unavailable` (agent unreachable), `deadline_exceeded`, and what the agent's SQL gate says. */
  runQuery(
    agentId: AgentId,
    sql: string,
    limits: { maxRows: number; maxBytes: number; timeoutMs: number },
    signal: AbortSignal,
  ): Promise<LiveAnswer>;
}

export interface LiveAnswer {
  columns: { name: string; type: string }[];
  rows: unknown[][];
  truncated: boolean;
  /** Every span committed up to here is in the answer, ms. */
  asOf: number;
  /** Oldest span looked at, ms; 0: there was none. */
  oldest: number;
}

/** `agt-… (web-1)`: the id for machines, the name for people. */
export function labelOf(agent: Pick<AgentInfo, 'agentId' | 'name'>): string {
  return agent.name === '' ? agent.agentId : `${agent.agentId} (${agent.name})`;
}
