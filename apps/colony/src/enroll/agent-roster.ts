import type { AgentId, KeyId } from '@coral/model';
import type { ColonyMesh } from '../mesh/colony-mesh.js';
import type { AgentDirectory, AgentInfo, AgentRegistry } from '../telemetry/agents.js';
import type { AgentRepository, EnrolledAgent, Sighting } from './agent.repository.js';

/** How long a sign of life may be in memory only; the telemetry store has its own, exact one. */
export const saveSightingsEveryMs = 10_000;
/** Services kept per agent, for lists; the store knows them all. */
export const maxServicesPerAgent = 1_000;

/** Everybody who ever joined, with what was heard of them since. */
export class AgentRoster implements AgentRegistry, AgentDirectory, Disposable {
  private readonly agents: AgentRepository;
  private readonly timer: NodeJS.Timeout;
  private readonly heard = new Map<AgentId, { at: number; services: Set<string> }>();
  private unsaved = new Set<AgentId>();
  private mesh: ColonyMesh | undefined;

  constructor(agents: AgentRepository, onError: (thrown: unknown) => void) {
    this.agents = agents;
    this.timer = setInterval(() => {
      try {
        this.save();
      } catch (thrown) {
        onError(thrown);
      }
    }, saveSightingsEveryMs);
    this.timer.unref();
  }

  /** At start: everybody who ever joined may connect again. */
  admitAll(mesh: ColonyMesh): void {
    this.mesh = mesh;
    for (const agent of this.agents.list()) mesh.add(agent);
  }

  agentOf(keyId: KeyId): EnrolledAgent | undefined {
    return this.agents.findByKey(keyId);
  }

  ownerOf(agentId: string): string | undefined {
    return this.agents.findById(agentId)?.owner;
  }

  find(agentId: AgentId): EnrolledAgent | undefined {
    return this.agents.findById(agentId);
  }

  list(): (EnrolledAgent & AgentInfo)[] {
    return this.agents.list().map((agent) => {
      const heard = this.heard.get(agent.agentId);
      return {
        ...agent,
        lastSeen: heard?.at ?? agent.lastSeenAt,
        services: heard === undefined ? agent.services : [...heard.services],
      };
    });
  }

  touch(agentId: AgentId, at: number, services: readonly string[]): void {
    const known = this.heard.get(agentId) ?? { at, services: new Set(this.agents.findById(agentId)?.services) };
    known.at = Math.max(known.at, at);
    for (const service of services) if (known.services.size < maxServicesPerAgent) known.services.add(service);
    this.heard.set(agentId, known);
    this.unsaved.add(agentId);
  }

  setDirectEndpoint(agentId: AgentId, endpoint: string): void {
    const agent = this.agents.findById(agentId);
    if (agent === undefined) return;
    const directEndpoint = endpoint === '' ? undefined : endpoint;
    // First the mesh, which refuses an endpoint that is not on this machine.
    this.mesh?.add({ ...agent, directEndpoint });
    this.agents.setDirectEndpoint(agentId, directEndpoint);
  }

  [Symbol.dispose](): void {
    clearInterval(this.timer);
    this.save();
  }

  private save(): void {
    const sightings = new Map<AgentId, Sighting>();
    for (const agentId of this.unsaved) {
      const heard = this.heard.get(agentId);
      if (heard !== undefined) sightings.set(agentId, heard);
    }
    this.agents.saveSightings(sightings);
    this.unsaved = new Set();
  }
}
