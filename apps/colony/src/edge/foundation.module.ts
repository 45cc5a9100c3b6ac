import { Global, Module } from '@nestjs/common';
import type { DynamicModule } from '@nestjs/common';
import type { ColonyConfig } from '../colony.config.js';
import type { BootClock } from '../control/boot-clock.js';
import { ColonyIdentity } from './colony-identity.js';
import { JsonLogger } from './json-logger.js';
import { Lifetime } from './lifetime.js';

/** Injection tokens for what has no class at run time: the frozen configuration and the clock. */
export const COLONY_CONFIG = Symbol('colony config');
export const COLONY_CLOCK = Symbol('colony clock');

export interface Foundation {
  config: ColonyConfig;
  clock: BootClock;
  logger: JsonLogger;
  lifetime: Lifetime;
  identity: ColonyIdentity;
}

/** What every room stands on. */
@Global()
@Module({})
export class FoundationModule {
  static of({ config, clock, logger, lifetime, identity }: Foundation): DynamicModule {
    const providers = [
      { provide: COLONY_CONFIG, useValue: config },
      { provide: COLONY_CLOCK, useValue: clock },
      { provide: JsonLogger, useValue: logger },
      { provide: Lifetime, useValue: lifetime },
      { provide: ColonyIdentity, useValue: identity },
    ];
    return { module: FoundationModule, providers, exports: providers.map(({ provide }) => provide) };
  }
}
