import { Controller } from '@nestjs/common';
import { GrpcMethod, Payload } from '@nestjs/microservices';
import type { colonyV1 } from '@coral/rpc';
import { ColonyIdentity } from '../edge/colony-identity.js';
import { Admits, Call } from '../edge/call-context.js';
import type { CallContext } from '../edge/call-context.js';
import { ColonyMesh } from '../mesh/colony-mesh.js';
import { EnrollService } from './enroll.service.js';

@Controller()
@Admits('anyone')
export class EnrollController {
  constructor(
    private readonly service: EnrollService,
    private readonly mesh: ColonyMesh,
    private readonly colony: ColonyIdentity,
  ) {}

  @GrpcMethod('AgentEnrollmentService', 'enrollAgent')
  async enrollAgent(
    @Payload() request: colonyV1.EnrollAgentRequest,
    @Call() call: CallContext,
  ): Promise<colonyV1.EnrollAgentResponse> {
    const agent = await this.service.enroll(request, call);
    return {
      agentId: agent.agentId,
      colonyId: this.colony.id,
      mesh: this.mesh.settingsFor(agent.host),
      owner: agent.owner,
      labels: agent.labels,
    };
  }
}
