import { Module } from '@nestjs/common';
import { AuditLog } from '@coral/audit';
import { ControlDb } from '../control/control-db.js';
import { AgentRepository } from '../enroll/agent.repository.js';
import { LeaseRepository } from '../ephemeral/lease.repository.js';
import { ColonyMetrics } from './colony-metrics.js';
import { OpsController } from './ops.controller.js';
import { Readiness } from './readiness.js';

@Module({
  providers: [
    {
      provide: Readiness,
      inject: [AuditLog, ControlDb],
      useFactory: (audit: AuditLog, db: ControlDb) => new Readiness(audit, db),
    },
    {
      provide: ColonyMetrics,
      inject: [LeaseRepository, AgentRepository, AuditLog],
      useFactory: (leases: LeaseRepository, agents: AgentRepository, audit: AuditLog) =>
        new ColonyMetrics(leases, agents, audit),
    },
  ],
  controllers: [OpsController],
})
export class OpsModule {}
