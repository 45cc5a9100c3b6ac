import { Module } from '@nestjs/common';
import type { DynamicModule } from '@nestjs/common';
import { APP_FILTER, APP_GUARD } from '@nestjs/core';
import type { TelemetryStore } from '@coral/telemetry-store';
import { AdminModule } from './admin/admin.module.js';
import { AuditModule } from './audit/audit.module.js';
import type { ControlDb } from './control/control-db.js';
import { ControlModule } from './control/control.module.js';
import { CredentialsModule } from './credentials/credentials.module.js';
import { CallerGuard } from './edge/caller.guard.js';
import { ErrorFilter } from './edge/error.filter.js';
import { FoundationModule } from './edge/foundation.module.js';
import type { Foundation } from './edge/foundation.module.js';
import { EnrollModule } from './enroll/enroll.module.js';
import type { AgentRepository } from './enroll/agent.repository.js';
import type { AgentRoster } from './enroll/agent-roster.js';
import { EphemeralModule } from './ephemeral/ephemeral.module.js';
import { HttpModule } from './http/http.module.js';
import { InsightModule } from './insight/insight.module.js';
import { McpModule } from './mcp/mcp.module.js';
import { MeshModule } from './mesh/mesh.module.js';
import { OpsModule } from './ops/ops.module.js';
import { PublicModule } from './public/public.module.js';
import { RbacModule } from './rbac/rbac.module.js';
import { TelemetryModule } from './telemetry/telemetry.module.js';

/** Opened by main, in this order, before the rooms. */
export interface Opened extends Foundation {
  db: ControlDb;
  store: TelemetryStore;
  agents: AgentRepository;
  roster: AgentRoster;
}

/** The list of rooms. */
@Module({})
export class ColonyModule {
  static of({ db, store, agents, roster, ...foundation }: Opened): DynamicModule {
    const telemetry = TelemetryModule.forStore({ store, registry: roster, clock: foundation.clock });
    const mcp = McpModule.of(telemetry);
    return {
      module: ColonyModule,
      imports: [
        FoundationModule.of(foundation),
        ControlModule.of(db),
        AuditModule,
        RbacModule,
        CredentialsModule,
        MeshModule,
        EnrollModule.of(agents, roster),
        EphemeralModule,
        telemetry,
        PublicModule,
        mcp,
        HttpModule.of(mcp),
        InsightModule,
        AdminModule,
        OpsModule,
      ],
      providers: [
        { provide: APP_GUARD, useClass: CallerGuard },
        { provide: APP_FILTER, useFactory: () => new ErrorFilter(foundation.logger) },
      ],
    };
  }
}
