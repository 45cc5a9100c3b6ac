import { join } from 'node:path';
import { Global, Module } from '@nestjs/common';
import { AccessTokens, CertificateAuthority } from '@coral/auth';
import type { Clock } from '@coral/model';
import type { ColonyConfig } from '../colony.config.js';
import { ControlDb } from '../control/control-db.js';
import { COLONY_CLOCK, COLONY_CONFIG } from '../edge/foundation.module.js';
import { ApiTokenRepository } from './api-token.repository.js';
import { JoinTokenRepository } from './join-token.repository.js';

/** Who people and agents are, and what the colony proves itself with. */
@Global()
@Module({
  providers: [
    {
      provide: ApiTokenRepository,
      inject: [ControlDb, COLONY_CLOCK],
      useFactory: (db: ControlDb, clock: Clock) => new ApiTokenRepository(db, clock),
    },
    {
      provide: JoinTokenRepository,
      inject: [ControlDb, COLONY_CLOCK],
      useFactory: (db: ControlDb, clock: Clock) => new JoinTokenRepository(db, clock),
    },
    {
      provide: AccessTokens,
      inject: [COLONY_CONFIG, COLONY_CLOCK],
      useFactory: (config: ColonyConfig, clock: Clock) =>
        AccessTokens.open({
          keyFile: join(config.data_dir, 'keys', 'access-tokens.jwk'),
          colonyId: config.colony.id,
          clock,
        }),
    },
    {
      provide: CertificateAuthority,
      inject: [COLONY_CONFIG, COLONY_CLOCK],
      useFactory: (config: ColonyConfig, clock: Clock) =>
        CertificateAuthority.openOrCreate(join(config.data_dir, 'keys'), clock),
    },
  ],
  exports: [ApiTokenRepository, JoinTokenRepository, AccessTokens, CertificateAuthority],
})
export class CredentialsModule {}
