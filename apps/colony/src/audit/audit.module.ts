import { join } from 'node:path';
import { Global, Module } from '@nestjs/common';
import { AuditLog } from '@coral/audit';
import type { Clock } from '@coral/model';
import type { ColonyConfig } from '../colony.config.js';
import { COLONY_CLOCK, COLONY_CONFIG } from '../edge/foundation.module.js';
import { JsonLogger } from '../edge/json-logger.js';
import { Lifetime } from '../edge/lifetime.js';
import { AuditIndexer } from './audit-indexer.js';

const directoryOf = (config: ColonyConfig): string => join(config.data_dir, 'audit');

/** The record of what was asked, answered and refused; `AuditLog` is injected wherever a row is due. */
@Global()
@Module({
  providers: [
    {
      provide: AuditLog,
      inject: [COLONY_CONFIG, COLONY_CLOCK, Lifetime],
      useFactory: async (config: ColonyConfig, clock: Clock, lifetime: Lifetime) =>
        lifetime.own(await AuditLog.open({ directory: directoryOf(config), clock })),
    },
    {
      provide: AuditIndexer,
      inject: [COLONY_CONFIG, JsonLogger, Lifetime, AuditLog],
      useFactory: (config: ColonyConfig, logger: JsonLogger, lifetime: Lifetime) =>
        lifetime.own(
          new AuditIndexer(
            { file: join(config.data_dir, 'audit-index.duckdb'), directory: directoryOf(config) },
            logger,
          ),
        ),
    },
  ],
  exports: [AuditLog],
})
export class AuditModule {}
