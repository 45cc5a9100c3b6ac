import { Global, Module } from '@nestjs/common';
import { AuditLog } from '@coral/audit';
import type { Clock } from '@coral/model';
import type { ColonyConfig } from '../colony.config.js';
import { ApiTokenRepository } from '../credentials/api-token.repository.js';
import { COLONY_CLOCK, COLONY_CONFIG } from '../edge/foundation.module.js';
import { JsonLogger } from '../edge/json-logger.js';
import { PublicAccess } from '../ephemeral/public-access.js';
import { PublicAddress } from './public-address.js';
import { TokenEndpoint } from './token-endpoint.js';

/** How clients outside the mesh find the colony, and get their tokens. */
@Global()
@Module({
  providers: [
    {
      provide: PublicAddress,
      inject: [COLONY_CONFIG],
      useFactory: (config: ColonyConfig) => new PublicAddress(config),
    },
    {
      provide: TokenEndpoint,
      inject: [PublicAddress, ApiTokenRepository, PublicAccess, AuditLog, COLONY_CLOCK, JsonLogger],
      useFactory: (
        address: PublicAddress,
        apiTokens: ApiTokenRepository,
        access: PublicAccess,
        audit: AuditLog,
        clock: Clock,
        logger: JsonLogger,
      ) => new TokenEndpoint({ address, apiTokens, access, audit, clock, logger }),
    },
  ],
  exports: [PublicAddress, TokenEndpoint],
})
export class PublicModule {}
