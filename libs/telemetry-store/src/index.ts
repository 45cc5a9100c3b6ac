export {
  TelemetryStore,
  storeDefaults,
  type IngestResult,
  type StoreTotals,
  type TelemetryStoreOptions,
} from './telemetry-store.js';
export type { SetAside } from './open-database.js';
export { batchLimits, type RefusalReason } from './ingest/check-batch.js';
export { publishedViews, type Snapshot } from './snapshot.js';
export type { AgentReport, EventSelection, KnownService, TelemetryView } from './read/telemetry-view.js';
export type { EdgeGroup, Group, Selection, ServiceGroup, ServiceKey } from './read/groups.js';
export type { NodeResolver } from './read/nodes.js';
export {
  healthRules,
  healthWindows,
  judgeHealth,
  type HealthFacts,
  type HealthRules,
  type HealthSample,
  type HealthVerdict,
} from './health.js';
export {
  dimensions,
  metrics,
  type Dimension,
  type EventsQuestion,
  type Metric,
  type MetricsQuestion,
  type Question,
} from './language/question.js';
export { canonicalOf, serviceArgument, understand, type Surroundings } from './language/understand.js';
export { formatRange, rangeArgument, windowMs } from './language/time-words.js';
export { nearestWords, UnknownService } from './language/language.errors.js';
