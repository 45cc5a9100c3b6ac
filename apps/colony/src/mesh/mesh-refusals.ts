import type { AuditLog, JsonValue } from '@coral/audit';
import type { DirectMeshOptions } from '@coral/mesh';
import type { JsonLogger } from '../edge/json-logger.js';

type Refusal = Parameters<NonNullable<DirectMeshOptions['onRefused']>>[0];

/** Rows on their way at once; strangers knocking faster than the disk turns are counted, and the count has a row. */
export const maxPendingRows = 64;

/** Audit rows for what the mesh did not let through. */
export class MeshRefusals {
  private readonly audit: Pick<AuditLog, 'append'>;
  private readonly logger: JsonLogger;
  private pending = 0;
  private uncounted = 0;

  constructor(audit: Pick<AuditLog, 'append'>, logger: JsonLogger) {
    this.audit = audit;
    this.logger = logger;
  }

  /** Somebody knocked whom the driver `direct` did not let in. */
  report({ reason, remoteAddress, certificateSha256 }: Refusal): void {
    this.record(reason, { ip_address: remoteAddress, certificate_sha256: certificateSha256 });
  }

  record(reason: string, what: Record<string, JsonValue>): void {
    if (this.pending >= maxPendingRows) {
      this.uncounted += 1;
      return;
    }
    void this.write(reason, what);
  }

  private async write(reason: string, what: Record<string, JsonValue>): Promise<void> {
    const more = this.uncounted;
    this.uncounted = 0;
    this.pending += 1;
    try {
      await this.audit.append({
        kind: 'auth.refused',
        user_id: null,
        agent_id: null,
        payload: { door: 'mesh', reason, ...what, ...(more > 0 ? { and_more: more } : {}) },
      });
    } catch (thrown) {
      this.logger.failure('what the mesh refused could not be audited', thrown, { reason });
    } finally {
      this.pending -= 1;
    }
  }
}
