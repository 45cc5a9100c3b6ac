import { Module } from '@nestjs/common';
import { AuditLog } from '@coral/audit';
import { ApiTokenRepository } from '../credentials/api-token.repository.js';
import { JoinTokenRepository } from '../credentials/join-token.repository.js';
import { EphemeralService } from '../ephemeral/ephemeral.service.js';
import { AdminController } from './admin.controller.js';
import { AdminService } from './admin.service.js';

@Module({
  providers: [
    {
      provide: AdminService,
      inject: [ApiTokenRepository, JoinTokenRepository, AuditLog, EphemeralService],
      useFactory: (
        apiTokens: ApiTokenRepository,
        joinTokens: JoinTokenRepository,
        audit: AuditLog,
        ephemeral: EphemeralService,
      ) => new AdminService({ apiTokens, joinTokens, audit, endLeasesOf: (tokenId) => ephemeral.endLeasesOf(tokenId) }),
    },
  ],
  controllers: [AdminController],
})
export class AdminModule {}
