import { openAuditIndex } from '@coral/audit';
import type { AuditIndex, AuditIndexOptions } from '@coral/audit';
import type { JsonLogger } from '../edge/json-logger.js';

/** How far the index may lag behind the segments: many rows at once cost a good deal less than few. */
export const catchUpEveryMs = 30_000;

/**
 * Keeps the DuckDB index near the segments. Nothing waits for it: the segments are the record, and an index that cannot
 * be written is a line in the log.
 */
export class AuditIndexer implements AsyncDisposable {
  private readonly options: AuditIndexOptions;
  private readonly logger: JsonLogger;
  private readonly timer: NodeJS.Timeout;
  private index: AuditIndex | undefined;
  private working: Promise<void> | undefined;

  constructor(options: AuditIndexOptions, logger: JsonLogger) {
    this.options = options;
    this.logger = logger;
    this.timer = setInterval(() => {
      this.working ??= this.catchUp().finally(() => {
        this.working = undefined;
      });
    }, catchUpEveryMs);
    this.timer.unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.timer);
    await this.working;
    await this.index?.close();
  }

  private async catchUp(): Promise<void> {
    try {
      if (this.index === undefined) this.index = await openAuditIndex(this.options);
      else await this.index.catchUp();
    } catch (thrown) {
      this.logger.failure('the audit index is behind', thrown);
    }
  }
}
