import { join } from 'node:path';
import { Global, Module } from '@nestjs/common';
import { AuditLog } from '@coral/audit';
import type { Clock } from '@coral/model';
import type { ColonyConfig } from '../colony.config.js';
import { BindPort } from '../edge/bind-port.js';
import { COLONY_CLOCK, COLONY_CONFIG } from '../edge/foundation.module.js';
import { JsonLogger } from '../edge/json-logger.js';
import { Lifetime } from '../edge/lifetime.js';
import { AddressPlan } from './address-plan.js';
import { ColonyMesh } from './colony-mesh.js';
import { MeshRefusals } from './mesh-refusals.js';
import { MeshWatch } from './mesh-watch.js';
import { MemberPlaces } from './member-places.js';

@Global()
@Module({
  providers: [
    {
      provide: ColonyMesh,
      inject: [COLONY_CONFIG, COLONY_CLOCK, AuditLog, JsonLogger, Lifetime, BindPort, MemberPlaces],
      useFactory: async (
        config: ColonyConfig,
        clock: Clock,
        audit: AuditLog,
        logger: JsonLogger,
        lifetime: Lifetime,
        ports: BindPort,
        places: MemberPlaces,
      ) => {
        const refusals = new MeshRefusals(audit, logger);
        const watch = new MeshWatch(places, refusals, logger);
        const mesh = await ports.bind('mesh.listen', config.mesh.listen, (listen) =>
          ColonyMesh.open({
            driver: config.mesh.driver,
            keysDirectory: join(config.data_dir, 'keys'),
            plan: new AddressPlan(config.mesh.ipv4, config.mesh.ipv6),
            listen,
            endpoint: config.mesh.endpoint,
            production: config.environment === 'production',
            clock,
            onRefused: (info) => refusals.report(info),
            onEvent: watch.onEvent,
            places,
          }),
        );
        return lifetime.own(mesh);
      },
    },
  ],
  exports: [ColonyMesh],
})
export class MeshModule {}
