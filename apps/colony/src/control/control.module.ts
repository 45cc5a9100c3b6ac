import { Global, Module } from '@nestjs/common';
import type { DynamicModule } from '@nestjs/common';
import { BindPort } from '../edge/bind-port.js';
import { ControlDb } from './control-db.js';
import { PortRepository } from './port.repository.js';

/** The control store, opened by main before any room: its lock is what keeps a second colony out of the data directory. */
@Global()
@Module({})
export class ControlModule {
  static of(db: ControlDb): DynamicModule {
    const providers = [
      { provide: ControlDb, useValue: db },
      { provide: BindPort, useValue: new BindPort(new PortRepository(db)) },
    ];
    return { module: ControlModule, providers, exports: providers.map(({ provide }) => provide) };
  }
}
