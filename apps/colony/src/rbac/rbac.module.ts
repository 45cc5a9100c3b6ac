import { Global, Module } from '@nestjs/common';
import { AuditLog } from '@coral/audit';
import type { Clock } from '@coral/model';
import type { ColonyConfig } from '../colony.config.js';
import { COLONY_CLOCK, COLONY_CONFIG } from '../edge/foundation.module.js';
import { JsonLogger } from '../edge/json-logger.js';
import { Lifetime } from '../edge/lifetime.js';
import { DescribeController } from './describe.controller.js';
import { PolicyInForce } from './policy-in-force.js';

@Global()
@Module({
  providers: [
    {
      provide: PolicyInForce,
      inject: [COLONY_CONFIG, AuditLog, JsonLogger, COLONY_CLOCK, Lifetime],
      useFactory: async (config: ColonyConfig, audit: AuditLog, logger: JsonLogger, clock: Clock, lifetime: Lifetime) =>
        lifetime.own(await PolicyInForce.open({ file: config.policy_file, audit, logger, clock })),
    },
  ],
  controllers: [DescribeController],
  exports: [PolicyInForce],
})
export class RbacModule {}
