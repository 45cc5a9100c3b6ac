import { readAttributes, type AttributeCaps, type CapCounter } from './attributes.js';
import { asFields, asInteger, asList, asText, toJsonText, type Fields } from './otlp-values.js';
import type { MetricRecord } from './records.js';
import type { Rejections } from './rejections.js';
import { identityOf, maxNameLength } from './semantics.js';

/** Wire name of each kind of metric, and what the table calls it. */
const metricTypes = {
  gauge: 'gauge',
  sum: 'sum',
  histogram: 'histogram',
  exponentialHistogram: 'exponential_histogram',
  summary: 'summary',
} as const;

/** Reads an ExportMetricsServiceRequest: one record per metric, its points kept as they came. */
export function readMetrics(
  request: Fields,
  now: number,
  caps: AttributeCaps,
  rejections: Rejections,
  counter: CapCounter,
): MetricRecord[] {
  const metrics: MetricRecord[] = [];
  for (const one of asList(request['resourceMetrics'])) {
    const group = asFields(one) ?? {};
    const resource = readAttributes(asFields(group['resource'])?.['attributes'], caps, counter);
    const { service } = identityOf(resource);
    const resourceText = JSON.stringify(resource);
    for (const scope of asList(group['scopeMetrics'])) {
      for (const item of asList(asFields(scope)?.['metrics'])) {
        const metric = readMetric(asFields(item) ?? {}, now, rejections);
        if (metric !== undefined) metrics.push({ ...metric, service, resource: resourceText });
      }
    }
  }
  return metrics;
}

function readMetric(
  metric: Fields,
  now: number,
  rejections: Rejections,
): Omit<MetricRecord, 'service' | 'resource'> | undefined {
  const name = asText(metric['name'], maxNameLength) ?? '';
  const kind = (Object.keys(metricTypes) as (keyof typeof metricTypes)[]).find((key) => asFields(metric[key]));
  const points = kind === undefined ? [] : asList(asFields(metric[kind])?.['dataPoints']);
  if (name === '' || kind === undefined) {
    rejections.add(name === '' ? 'a metric needs a name' : 'a metric needs data', name, Math.max(1, points.length));
    return undefined;
  }
  const times = points.map((point) => asInteger(asFields(point)?.['timeUnixNano']) ?? 0n);
  const newest = times.reduce((latest, time) => (time > latest ? time : latest), 0n);
  return {
    timeUs: newest > 0n && newest < 2n ** 63n ? newest / 1_000n : BigInt(now) * 1_000n,
    name,
    type: metricTypes[kind],
    unit: asText(metric['unit'], 64) ?? '',
    points: points.length,
    payload: toJsonText(metric[kind]),
  };
}
