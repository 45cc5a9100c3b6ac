import type { EventType } from '@coral/tools';
import type { Dimension, Metric } from './question.js';

/** What a word, or two words together, mean. One meaning each: where English has two, the word is left out and refused. */
export type Meaning =
  | { is: 'metric'; metric: Metric }
  | { is: 'event'; type: EventType | 'any' }
  | { is: 'dimension'; by: Dimension }
  /** Singular: a dimension after `by`, nothing elsewhere ("front service latency"). */
  | { is: 'service' }
  | { is: 'by' | 'last' | 'top' | 'step' | 'agent' | 'and' | 'filler' };

const metricWords: Record<Metric, string> = {
  latency: 'latency|latencies|duration|durations|response time|response times|slow|slowest|slowness|percentiles',
  p50: 'p50|median',
  p95: 'p95',
  p99: 'p99',
  errors: 'errors|error|failures|failure|failing|failed',
  'error rate': 'error rate|error rates|failure rate|failure rates|error ratio',
  throughput: 'throughput|requests|request|traffic|rps|load|volume|request rate|request rates|calls',
};

const eventTypeWords: Record<EventType | 'any', string> = {
  deploy: 'deployments|deployment|deploys|deploy|releases|release|rollouts|rollout|rollbacks|rollback',
  restart: 'restarts|restart|restarted',
  crash: 'crashes|crash|crashed',
  error_spike: 'error spikes|error spike',
  alert: 'alerts|alert',
  any: 'events|event',
};

const dimensionWords: Record<Exclude<Dimension, 'service'>, string> & { services: string } = {
  services: 'services',
  route: 'route|routes|endpoint|endpoints',
  version: 'version|versions',
  dependency: 'dependency|dependencies|downstream',
  time: 'time|over time|timeline',
};

const fillers =
  'show|me|us|the|a|an|of|for|in|at|what|is|are|was|were|how|many|much|please|give|get|list|display|all|recent|latest|' +
  'during|within|with|its|on|to|do|did|does|there|any|have|has|been|happened|happening|right|now|ago';

export const vocabulary: ReadonlyMap<string, Meaning> = new Map<string, Meaning>([
  ...spell(metricWords, (metric) => ({ is: 'metric', metric })),
  ...spell(eventTypeWords, (type) => ({ is: 'event', type })),
  ...spell(dimensionWords, (by) => ({ is: 'dimension', by: by === 'services' ? 'service' : by })),
  ...spell(
    { filler: fillers, and: 'and|&|+', by: 'by|per|each', last: 'last|past', top: 'top', step: 'step' },
    (is) => ({ is }),
  ),
  ['agent', { is: 'agent' }],
  ['service', { is: 'service' }],
]);

function spell<K extends string>(words: Record<K, string>, meaning: (key: K) => Meaning): [string, Meaning][] {
  const keys = Object.keys(words) as K[];
  return keys.flatMap((key) => words[key].split('|').map((word): [string, Meaning] => [word, meaning(key)]));
}

/** For the error that refuses a word. */
export const understood =
  'Understood: latency, p50, p95, p99, errors, error rate, throughput; by service, route, version, dependency, time; ' +
  'deployments, restarts, crashes, error spikes, alerts, events; last 15m, 1h, 4h, 24h, 7d; top 5; step 1m; ' +
  'a service name; on agent <id>; or SQL that starts with SELECT.';
