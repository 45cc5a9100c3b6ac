import { Global, Module } from '@nestjs/common';
import type { DynamicModule } from '@nestjs/common';
import { BindPort } from '../edge/bind-port.js';
import { JsonLogger } from '../edge/json-logger.js';
import { Lifetime } from '../edge/lifetime.js';
import { MemberPlaces } from '../mesh/member-places.js';
import { ControlDb } from './control-db.js';
import { PeerEndpoints } from './peer-endpoints.js';
import { PortRepository } from './port.repository.js';

/** The control store, opened by main before any room: its lock is what keeps a second colony out of the data directory. */
@Global()
@Module({})
export class ControlModule {
  static of(db: ControlDb): DynamicModule {
    const providers = [
      { provide: ControlDb, useValue: db },
      { provide: BindPort, useValue: new BindPort(new PortRepository(db)) },
      {
        provide: MemberPlaces,
        inject: [JsonLogger, Lifetime],
        useFactory: (logger: JsonLogger, lifetime: Lifetime) =>
          lifetime.own(
            new PeerEndpoints(db, (thrown) => logger.failure('places on the mesh could not be saved', thrown)),
          ),
      },
    ];
    return { module: ControlModule, providers, exports: providers.map(({ provide }) => provide) };
  }
}
