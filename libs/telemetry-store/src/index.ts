export {
  TelemetryStore,
  storeDefaults,
  type IngestResult,
  type StoreTotals,
  type TelemetryStoreOptions,
} from './telemetry-store.js';
export type { SetAside } from './database.js';
export { batchLimits, type RefusalReason } from './ingest/check-batch.js';
export { publishedViews, type Snapshot } from './snapshot.js';
export type { AgentReport, EventSelection, KnownService, TelemetryView } from './read/telemetry-view.js';
export type { EdgeGroup, Group, Selection, ServiceGroup, ServiceKey } from './read/groups.js';
export type { NodeResolver } from './read/nodes.js';
