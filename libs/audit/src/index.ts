import type { AuditIndex, AuditIndexOptions } from './audit-index.js';

export { AuditLog, defaultSegmentBytes, maxQueuedRows, type AuditLogOptions } from './audit-log.js';
export type { AuditEntry, AuditKind, AuditRow, ChainHead } from './audit-row.js';
export { canonicalJson, type JsonValue } from './canonical-json.js';
export { maxFieldBytes, maxStringBytes } from './payload.js';
export { readAudit, type AuditFilter } from './read.js';
export { nodeSegmentFiles, type SegmentFile, type SegmentFiles } from './segment-files.js';
export { verifyAudit, type AuditProblem, type AuditVerdict, type BadRow } from './verify.js';
export type { AuditIndex, AuditIndexOptions };

/** DuckDB is loaded when an index is opened and not before: what verifies on a laptop never loads it. */
export async function openAuditIndex(options: AuditIndexOptions): Promise<AuditIndex> {
  const { AuditIndex } = await import('./audit-index.js');
  return AuditIndex.open(options);
}
