import { Global, Module } from '@nestjs/common';
import { AuditLog } from '@coral/audit';
import { AccessTokens } from '@coral/auth';
import { keyIdOf } from '@coral/model';
import type { ColonyConfig } from '../colony.config.js';
import type { BootClock } from '../control/boot-clock.js';
import { ControlDb } from '../control/control-db.js';
import { COLONY_CLOCK, COLONY_CONFIG } from '../edge/foundation.module.js';
import { AgentRepository } from '../enroll/agent.repository.js';
import { ColonyMesh } from '../mesh/colony-mesh.js';
import { PolicyInForce } from '../rbac/policy-in-force.js';
import { AccessAudit } from './access-audit.js';
import { EphemeralController } from './ephemeral.controller.js';
import { EphemeralService } from './ephemeral.service.js';
import { LeaseEnds } from './lease-ends.js';
import { LeaseRepository } from './lease.repository.js';
import { PublicAccess } from './public-access.js';

@Global()
@Module({
  providers: [
    {
      provide: LeaseRepository,
      inject: [ControlDb, COLONY_CLOCK, COLONY_CONFIG],
      useFactory: (db: ControlDb, clock: BootClock, { ephemeral_agents: rules }: ColonyConfig) =>
        new LeaseRepository(db, clock, {
          defaultTtl: rules.default_ttl,
          maxTtl: rules.max_ttl,
          maxConcurrentPerUser: rules.max_concurrent_per_user,
          maxPublicPerUser: rules.max_public_per_user,
        }),
    },
    {
      provide: LeaseEnds,
      inject: [LeaseRepository, ColonyMesh, AuditLog],
      useFactory: (leases: LeaseRepository, mesh: ColonyMesh, audit: AuditLog) => new LeaseEnds(leases, mesh, audit),
    },
    {
      provide: EphemeralService,
      inject: [
        COLONY_CONFIG,
        LeaseRepository,
        LeaseEnds,
        ColonyMesh,
        AccessTokens,
        AuditLog,
        PolicyInForce,
        AgentRepository,
      ],
      useFactory: (
        config: ColonyConfig,
        leases: LeaseRepository,
        ends: LeaseEnds,
        mesh: ColonyMesh,
        tokens: AccessTokens,
        audit: AuditLog,
        policy: PolicyInForce,
        agents: AgentRepository,
      ) =>
        new EphemeralService({
          enabled: config.ephemeral_agents.enabled,
          leases,
          ends,
          mesh,
          tokens,
          audit: new AccessAudit(audit),
          policy: () => policy.current(),
          isPermanentKey: (key) => mesh.isOwnKey(key) || agents.findByKey(keyIdOf(key)) !== undefined,
        }),
    },
    {
      provide: PublicAccess,
      inject: [COLONY_CONFIG, LeaseRepository, LeaseEnds, AccessTokens, AuditLog, PolicyInForce],
      useFactory: (
        config: ColonyConfig,
        leases: LeaseRepository,
        ends: LeaseEnds,
        tokens: AccessTokens,
        audit: AuditLog,
        policy: PolicyInForce,
      ) =>
        new PublicAccess({
          enabled: config.ephemeral_agents.enabled,
          leases,
          ends,
          tokens,
          audit: new AccessAudit(audit),
          policy: () => policy.current(),
        }),
    },
  ],
  controllers: [EphemeralController],
  exports: [LeaseRepository, LeaseEnds, EphemeralService, PublicAccess],
})
export class EphemeralModule {}
