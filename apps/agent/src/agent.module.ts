import { Module, type DynamicModule } from '@nestjs/common';
import { AgentRuntime } from './agent-runtime.js';
import type { ColonyLink } from './mesh/colony-link.js';
import { OpsController } from './ops/ops.controller.js';
import { ColonyKey } from './query/colony-key.js';
import { QueryDesk } from './query/query-desk.js';
import { RunQueryController } from './query/run-query.controller.js';

/** The doors of the agent: ops over HTTP, questions of the colony over the mesh. OTLP has servers of its own. */
@Module({})
export class AgentModule {
  static of(runtime: AgentRuntime, link: ColonyLink): DynamicModule {
    return {
      module: AgentModule,
      controllers: [OpsController, RunQueryController],
      providers: [
        { provide: AgentRuntime, useValue: runtime },
        { provide: QueryDesk, useValue: runtime.desk },
        { provide: ColonyKey, useValue: new ColonyKey(link.colonyKey) },
      ],
    };
  }
}
