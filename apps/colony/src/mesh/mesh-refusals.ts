import type { AuditLog } from '@coral/audit';
import type { DirectMeshOptions } from '@coral/mesh';
import type { JsonLogger } from '../edge/json-logger.js';

type Refusal = Parameters<NonNullable<DirectMeshOptions['onRefused']>>[0];

/** Rows on their way at once; strangers knocking faster than the disk turns are counted, and the count has a row. */
export const maxPendingRows = 64;

/** Audit rows for those who knocked on the mesh and were not let in. */
export class MeshRefusals {
  private readonly audit: Pick<AuditLog, 'append'>;
  private readonly logger: JsonLogger;
  private pending = 0;
  private uncounted = 0;

  constructor(audit: Pick<AuditLog, 'append'>, logger: JsonLogger) {
    this.audit = audit;
    this.logger = logger;
  }

  report(refusal: Refusal): void {
    if (this.pending >= maxPendingRows) {
      this.uncounted += 1;
      return;
    }
    void this.record(refusal);
  }

  private async record({ reason, remoteAddress, certificateSha256 }: Refusal): Promise<void> {
    const more = this.uncounted;
    this.uncounted = 0;
    this.pending += 1;
    try {
      await this.audit.append({
        kind: 'auth.refused',
        user_id: null,
        agent_id: null,
        payload: {
          door: 'mesh',
          reason,
          ip_address: remoteAddress,
          certificate_sha256: certificateSha256,
          ...(more > 0 ? { and_more: more } : {}),
        },
      });
    } catch (thrown) {
      this.logger.failure('a refused connection could not be audited', thrown, { reason });
    } finally {
      this.pending -= 1;
    }
  }
}
