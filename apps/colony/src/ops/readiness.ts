import { AuditLog } from '@coral/audit';
import { ControlDb } from '../control/control-db.js';

export type Check = 'started' | 'audit_writable' | 'control_store_open';

/** Whether to send work here. Alive is another question: a colony that cannot audit is alive, and refuses. */
export class Readiness {
  private readonly audit: AuditLog;
  private readonly db: ControlDb;
  private started = false;

  constructor(audit: AuditLog, db: ControlDb) {
    this.audit = audit;
    this.db = db;
  }

  /** All doors are open; the policy and the stores were loaded on the way. */
  up(): void {
    this.started = true;
  }

  /** First thing of a shutdown, so that nobody new is sent. */
  down(): void {
    this.started = false;
  }

  checks(): Record<Check, boolean> {
    return {
      started: this.started,
      audit_writable: this.audit.writable(),
      control_store_open: this.db.isOpen(),
    };
  }
}
