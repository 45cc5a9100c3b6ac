import { Controller } from '@nestjs/common';
import { GrpcMethod, Payload } from '@nestjs/microservices';
import { durationFromProto } from '@coral/rpc';
import type { colonyV1 } from '@coral/rpc';
import { Admits } from '../edge/call-context.js';
import { AgentRoster } from '../enroll/agent-roster.js';
import { AdminService } from './admin.service.js';

@Controller()
@Admits('administrator')
export class AdminController {
  constructor(
    private readonly admin: AdminService,
    private readonly agents: AgentRoster,
  ) {}

  @GrpcMethod('AdminService', 'createApiToken')
  async createApiToken(@Payload() request: colonyV1.CreateApiTokenRequest): Promise<colonyV1.CreateApiTokenResponse> {
    const made = await this.admin.createApiToken({
      userId: request.userId,
      lifetimeMs: lifetimeOf(request.ttl),
      note: request.note,
    });
    return { tokenId: made.tokenId, token: made.token, expiresAt: new Date(made.expiresAt) };
  }

  @GrpcMethod('AdminService', 'revokeApiToken')
  async revokeApiToken(@Payload() request: colonyV1.RevokeApiTokenRequest): Promise<colonyV1.RevokeApiTokenResponse> {
    await this.admin.revokeApiToken(request.tokenId);
    return {};
  }

  @GrpcMethod('AdminService', 'createJoinToken')
  async createJoinToken(
    @Payload() request: colonyV1.CreateJoinTokenRequest,
  ): Promise<colonyV1.CreateJoinTokenResponse> {
    const { owner, labels } = request;
    const made = await this.admin.createJoinToken({ owner, labels, lifetimeMs: lifetimeOf(request.ttl) });
    return { joinToken: made.token, expiresAt: new Date(made.expiresAt) };
  }

  @GrpcMethod('AdminService', 'listAgents')
  async listAgents(): Promise<colonyV1.ListAgentsResponse> {
    await this.admin.recordListing();
    return {
      agents: this.agents.list().map((agent) => ({
        agentId: agent.agentId,
        name: agent.name,
        owner: agent.owner,
        labels: agent.labels,
        enrolledAt: new Date(agent.enrolledAt),
        lastSeenAt: agent.lastSeen === undefined ? undefined : new Date(agent.lastSeen),
        services: [...agent.services],
      })),
    };
  }
}

function lifetimeOf(ttl: Parameters<typeof durationFromProto>[0] | undefined): number | undefined {
  return ttl === undefined ? undefined : durationFromProto(ttl, 'ttl');
}
