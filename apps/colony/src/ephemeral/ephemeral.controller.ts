import { Controller } from '@nestjs/common';
import { GrpcMethod, Payload } from '@nestjs/microservices';
import type { colonyV1 } from '@coral/rpc';
import { Admits, Call, Caller } from '../edge/call-context.js';
import type { CallContext, Person } from '../edge/call-context.js';
import { mcpGrpcPort } from '../edge/mesh-ports.js';
import { colonyHost } from '../mesh/address-plan.js';
import { ColonyMesh } from '../mesh/colony-mesh.js';
import { EphemeralService } from './ephemeral.service.js';

/** RFD 028's service, translated once between the wire and the room. */
@Controller()
@Admits('person')
export class EphemeralController {
  constructor(
    private readonly service: EphemeralService,
    private readonly mesh: ColonyMesh,
  ) {}

  @GrpcMethod('EphemeralAgentService', 'requestEphemeralAccess')
  async requestEphemeralAccess(
    @Payload() request: colonyV1.RequestEphemeralAccessRequest,
    @Caller() person: Person,
    @Call() call: CallContext,
  ): Promise<colonyV1.RequestEphemeralAccessResponse> {
    const { lease, seat, accessToken, wireguardConfig } = await this.service.requestAccess(request, { person, call });
    if (call.isGone()) await this.service.takeBack(lease, { person, call });
    return {
      agentId: lease.agentId,
      wireguardConfig,
      colonyMcpEndpoint: `${this.mesh.plan.addressesOf(colonyHost).v4}:${mcpGrpcPort}`,
      expiresAt: new Date(lease.expiresAt),
      accessToken,
      mesh: this.mesh.settingsFor(seat.host),
    };
  }

  @GrpcMethod('EphemeralAgentService', 'releaseEphemeralAccess')
  async releaseEphemeralAccess(
    @Payload() request: colonyV1.ReleaseEphemeralAccessRequest,
    @Caller() person: Person,
    @Call() call: CallContext,
  ): Promise<colonyV1.ReleaseEphemeralAccessResponse> {
    await this.service.release(request.agentId, { person, call });
    return { success: true };
  }

  @GrpcMethod('EphemeralAgentService', 'listEphemeralAgents')
  async listEphemeralAgents(
    @Payload() request: colonyV1.ListEphemeralAgentsRequest,
    @Caller() person: Person,
    @Call() call: CallContext,
  ): Promise<colonyV1.ListEphemeralAgentsResponse> {
    const leases = await this.service.list(request.userId, { person, call });
    return {
      agents: leases.map((lease) => ({
        agentId: lease.agentId,
        userId: lease.userId,
        createdAt: new Date(lease.createdAt),
        expiresAt: new Date(lease.expiresAt),
        purpose: lease.purpose,
      })),
    };
  }
}
