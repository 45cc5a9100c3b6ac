import { Global, Module } from '@nestjs/common';
import type { DynamicModule } from '@nestjs/common';
import { AuditLog } from '@coral/audit';
import type { Clock } from '@coral/model';
import { ControlDb } from '../control/control-db.js';
import { JoinTokenRepository } from '../credentials/join-token.repository.js';
import { COLONY_CLOCK } from '../edge/foundation.module.js';
import { Lifetime } from '../edge/lifetime.js';
import { ColonyMesh } from '../mesh/colony-mesh.js';
import { MeshAgentCaller } from './agent-caller.js';
import { AgentRepository } from './agent.repository.js';
import { AgentRoster } from './agent-roster.js';
import { EnrollController } from './enroll.controller.js';
import { EnrollService } from './enroll.service.js';

/** `roster` is made by main, since the intake of telemetry is wired with it. */
@Global()
@Module({})
export class EnrollModule {
  static of(agents: AgentRepository, roster: AgentRoster): DynamicModule {
    return {
      module: EnrollModule,
      controllers: [EnrollController],
      providers: [
        { provide: AgentRepository, useValue: agents },
        { provide: AgentRoster, useValue: roster },
        {
          provide: EnrollService,
          inject: [ControlDb, JoinTokenRepository, ColonyMesh, AuditLog, COLONY_CLOCK],
          useFactory: (
            db: ControlDb,
            joinTokens: JoinTokenRepository,
            mesh: ColonyMesh,
            audit: AuditLog,
            clock: Clock,
          ) => new EnrollService({ db, agents, joinTokens, mesh, audit, clock }),
        },
        {
          provide: MeshAgentCaller,
          inject: [ColonyMesh, Lifetime],
          useFactory: (mesh: ColonyMesh, lifetime: Lifetime) => lifetime.own(new MeshAgentCaller(mesh, roster)),
        },
      ],
      exports: [AgentRepository, AgentRoster, MeshAgentCaller],
    };
  }
}
