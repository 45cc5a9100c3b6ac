import { CoralError } from '@coral/errors';
import type { Clock, KeyId } from '@coral/model';
import type { colonyV1 } from '@coral/rpc';
import type { TelemetryStore } from '@coral/telemetry-store';
import type { AgentRegistry } from './agents.js';

export class UnknownPeer extends CoralError {
  constructor() {
    super({
      kind: 'permission_denied',
      reason: 'not_an_agent',
      message: 'The key of this connection belongs to no agent of this colony.',
      next: 'Enrol the agent with a join token; people and leases cannot send telemetry.',
    });
  }
}

export interface IntakeDeps {
  store: TelemetryStore;
  registry: AgentRegistry;
  clock: Clock;
}

/** What agents may tell the colony. Who speaks is the verified key of the connection, never a field of the message. */
export class TelemetryIntake {
  readonly #store: TelemetryStore;
  readonly #registry: AgentRegistry;
  readonly #clock: Clock;

  constructor(deps: IntakeDeps) {
    this.#store = deps.store;
    this.#registry = deps.registry;
    this.#clock = deps.clock;
  }

  async announceAgent(
    peer: KeyId | undefined,
    request: colonyV1.AnnounceAgentRequest,
  ): Promise<colonyV1.AnnounceAgentResponse> {
    const { agentId } = this.#agentOf(peer);
    const now = this.#clock.now();
    this.#registry.setDirectEndpoint(agentId, request.directEndpoint);
    this.#registry.touch(agentId, now, []);
    if (request.clockMs > 0) await this.#store.recordSkew(agentId, request.clockMs - now);
    return { clockMs: now };
  }

  async pushSummary(
    peer: KeyId | undefined,
    request: colonyV1.PushSummaryRequest,
  ): Promise<colonyV1.PushSummaryResponse> {
    const { agentId } = this.#agentOf(peer);
    const { durableSeq, services } = await this.#store.ingest(agentId, request);
    this.#registry.touch(agentId, this.#clock.now(), services);
    return { durableSeq };
  }

  #agentOf(peer: KeyId | undefined): NonNullable<ReturnType<AgentRegistry['agentOf']>> {
    const agent = peer === undefined ? undefined : this.#registry.agentOf(peer);
    if (agent === undefined) throw new UnknownPeer();
    return agent;
  }
}
