import { Module } from '@nestjs/common';
import type { DynamicModule } from '@nestjs/common';
import { AuditLog } from '@coral/audit';
import { AccessTokens } from '@coral/auth';
import type { Clock } from '@coral/model';
import { healthRules, TelemetryStore } from '@coral/telemetry-store';
import { ToolPath } from '@coral/tool-path';
import { toolRulesOf } from '../colony.config.js';
import type { ColonyConfig } from '../colony.config.js';
import { ColonyIdentity } from '../edge/colony-identity.js';
import { COLONY_CLOCK, COLONY_CONFIG } from '../edge/foundation.module.js';
import { JsonLogger } from '../edge/json-logger.js';
import { MeshAgentCaller } from '../enroll/agent-caller.js';
import { AgentRoster } from '../enroll/agent-roster.js';
import { LeaseEnds } from '../ephemeral/lease-ends.js';
import { LeaseRepository } from '../ephemeral/lease.repository.js';
import { PublicAddress } from '../public/public-address.js';
import { PolicyInForce } from '../rbac/policy-in-force.js';
import { McpAdapter } from './mcp-adapter.js';
import { McpController } from './mcp.controller.js';
import { McpDoor } from './mcp-door.js';
import { createToolHandlers } from './tools/index.js';

const TOOL_HANDLERS = Symbol('tool handlers');
type ToolHandlers = ReturnType<typeof createToolHandlers>;

@Module({
  providers: [
    {
      provide: TOOL_HANDLERS,
      inject: [TelemetryStore, COLONY_CLOCK, AgentRoster, MeshAgentCaller, COLONY_CONFIG],
      useFactory: (
        store: TelemetryStore,
        clock: Clock,
        agents: AgentRoster,
        agentCaller: MeshAgentCaller,
        { health, telemetry }: ColonyConfig,
      ): ToolHandlers =>
        createToolHandlers({
          store,
          clock,
          agents,
          agentCaller,
          stalenessMs: telemetry.staleness,
          health: {
            ...healthRules,
            recentMs: health.recent_window,
            maxReferenceMs: health.reference_window,
            staleMs: telemetry.staleness,
          },
        }),
    },
    {
      provide: ToolPath,
      inject: [
        TOOL_HANDLERS,
        AccessTokens,
        LeaseRepository,
        LeaseEnds,
        PublicAddress,
        PolicyInForce,
        AuditLog,
        AgentRoster,
        COLONY_CONFIG,
        COLONY_CLOCK,
        JsonLogger,
      ],
      useFactory: (
        handlers: ToolHandlers,
        tokens: AccessTokens,
        leases: LeaseRepository,
        ends: LeaseEnds,
        address: PublicAddress,
        policy: PolicyInForce,
        audit: AuditLog,
        agents: AgentRoster,
        config: ColonyConfig,
        clock: Clock,
        logger: JsonLogger,
      ) =>
        new ToolPath({
          verifyToken: (token, now, audience) =>
            tokens.verify(token, now, audience === 'mesh' ? 'mesh' : { resource: address.resource }),
          lease: (agentId) => {
            const lease = leases.findAlive(agentId);
            return lease && { expiresAt: lease.expiresAt, keyId: lease.seat?.keyId };
          },
          leaseEnd: (agentId) => ends.signalOf(agentId),
          policy: () => policy.current(),
          audit,
          handlers,
          ownerOfAgent: (agentId) => agents.ownerOf(agentId),
          rules: toolRulesOf(config),
          clock,
          onInternalError: (error) => logger.failure('a tool failed', error),
        }),
    },
    {
      provide: McpAdapter,
      inject: [ColonyIdentity],
      useFactory: (colony: ColonyIdentity) => new McpAdapter(colony),
    },
    {
      provide: McpDoor,
      inject: [McpAdapter, ToolPath],
      useFactory: (adapter: McpAdapter, path: ToolPath) => new McpDoor(adapter, path),
    },
  ],
  controllers: [McpController],
  exports: [McpDoor],
})
export class McpModule {
  /** `telemetry` is the module that holds the store the tools answer from. */
  static of(telemetry: DynamicModule): DynamicModule {
    return { module: McpModule, imports: [telemetry] };
  }
}
