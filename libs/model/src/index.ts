export { systemClock, type Clock } from './clock.js';
export { formatDuration, parseDuration, type Duration } from './duration.js';
export {
  emptyHistogram,
  mergeHistograms,
  bucketOf,
  countAbove,
  countOf,
  histogramScale,
  percentile,
  recordValue,
  type Histogram,
} from './histogram.js';
export { agentIdOf, keyIdOf, type AgentId, type KeyId, type UserId } from './identity.js';
export { isPermission, permissions, type Permission } from './permission.js';
export { parseTimeRange, type TimeRange } from './time-range.js';
