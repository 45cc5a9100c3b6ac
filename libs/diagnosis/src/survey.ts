import type { EventRow, NodeRow } from '@coral/tools';
import { changeRules, type Metric } from './change-rules.js';
import { usablePoints } from './track.js';
import { risesOf, riseWith, type Change } from './change-point.js';
import type { Observations } from './diagnosis.js';
import { readSeries, type Series, type SeriesSet } from './series.js';

/** Metrics whose rise hurts someone. */
export type Harm = 'p95_ms' | 'error_rate';
export const harms: readonly Harm[] = ['p95_ms', 'error_rate'];

/** When something began, as exactly as the steps allow. */
export interface Onset {
  since: number;
  sinceEnd: number;
}

/** The observations as a graph whose nodes and edges know their changes. Changes are looked for when first asked about. */
export class Survey {
  readonly o: Observations;
  readonly series: SeriesSet;
  private readonly out = new Map<string, Set<string>>();
  private readonly into = new Map<string, Set<string>>();
  private readonly nodes: ReadonlyMap<string, NodeRow>;
  private readonly found = new Map<string, readonly Change[]>();

  constructor(o: Observations) {
    this.o = o;
    this.series = readSeries(o);
    this.nodes = new Map(o.nodes.map((n) => [n.id, n] as const));
    for (const edge of o.edges) this.connect(edge.from, edge.to);
    for (const [from, tos] of this.series.edges) for (const to of tos.keys()) this.connect(from, to);
  }

  private connect(from: string, to: string): void {
    if (from === to) return;
    this.out.set(from, (this.out.get(from) ?? new Set()).add(to));
    this.into.set(to, (this.into.get(to) ?? new Set()).add(from));
  }

  get stepMs(): number {
    return this.o.stepMs;
  }

  callees(service: string): string[] {
    return [...(this.out.get(service) ?? [])];
  }

  callers(node: string): string[] {
    return [...(this.into.get(node) ?? [])];
  }

  /** Services the answer can speak about: seen in the topology, in the numbers or by the health check. */
  serviceNames(): string[] {
    const named = this.o.nodes.filter((n) => n.kind === 'service').map((n) => n.id);
    return [...new Set([...named, ...this.series.services.keys(), ...this.o.health.map((h) => h.service)])];
  }

  node(id: string): NodeRow {
    return this.nodes.get(id) ?? { id, kind: this.series.services.has(id) ? 'service' : 'external', name: id };
  }

  serviceSeries(service: string): Series {
    return this.series.services.get(service) ?? [];
  }

  edgeSeries(from: string, to: string): Series {
    return this.series.edges.get(from)?.get(to) ?? [];
  }

  rises(metric: Metric, service: string): readonly Change[] {
    return this.remember(`${metric}\0${service}`, metric, this.serviceSeries(service));
  }

  edgeRises(metric: Metric, from: string, to: string): readonly Change[] {
    return this.remember(`${metric}\0${from}\0${to}`, metric, this.edgeSeries(from, to));
  }

  private remember(key: string, metric: Metric, series: Series): readonly Change[] {
    const known = this.found.get(key) ?? risesOf(metric, series, this.stepMs, this.o.now);
    this.found.set(key, known);
    return known;
  }

  /** The change of a service that began with `onset`, found by itself or, more weakly, by looking just there. */
  changeWith(metric: Metric, service: string, onset: Onset): Change | undefined {
    return this.withOnset(metric, this.rises(metric, service), this.serviceSeries(service), onset);
  }

  /** As {@link changeWith}, of the calls from one node to another. */
  edgeChangeWith(metric: Metric, from: string, to: string, onset: Onset): Change | undefined {
    return this.withOnset(metric, this.edgeRises(metric, from, to), this.edgeSeries(from, to), onset);
  }

  private withOnset(metric: Metric, found: readonly Change[], series: Series, onset: Onset): Change | undefined {
    const known = alignedWith(found, onset, this.stepMs);
    if (known !== undefined) return known;
    const faint = riseWith(metric, series, onset, this.stepMs, this.o.now);
    return faint !== undefined && isAligned(faint, onset, this.stepMs) ? faint : undefined;
  }

  /** True when the series is long enough that a change in it would have been seen. */
  isReadable(series: Series): boolean {
    return usablePoints(series) >= changeRules.minPointsBefore + changeRules.minPointsAfter;
  }

  /** Services that no other service calls; where there is a ring only, all of them. */
  entries(): string[] {
    const names = this.serviceNames();
    const tops = names.filter((name) => this.callers(name).every((caller) => this.node(caller).kind !== 'service'));
    return tops.length > 0 ? tops : names;
  }

  /** All nodes on a way of calls from `top` down, itself included. */
  below(top: string): Set<string> {
    return this.spread(top, (id) => this.callees(id));
  }

  /** All nodes that reach `bottom` by calls, itself included. */
  above(bottom: string): Set<string> {
    return this.spread(bottom, (id) => this.callers(id));
  }

  private spread(start: string, next: (id: string) => string[]): Set<string> {
    const seen = new Set([start]);
    for (const id of seen) for (const other of next(id)) seen.add(other);
    return seen;
  }

  /** Deploys, restarts and crashes of a service, oldest first. */
  eventsOf(service: string): EventRow[] {
    return this.happenings().filter((e) => e.service === service);
  }

  /** Deploys, restarts and crashes, oldest first. Rows of one rollout (same service and version) count once, at the first. */
  happenings(): EventRow[] {
    const seen = new Set<string>();
    return this.o.events
      .filter((e) => (e.type === 'deploy' || e.type === 'restart' || e.type === 'crash') && timeOf(e) > 0)
      .toSorted((a, b) => timeOf(a) - timeOf(b) || (a.summary < b.summary ? -1 : 1))
      .filter((e) => {
        if (e.type !== 'deploy') return true;
        const key = `${e.service}\0${e.version ?? ''}\0${e.previous_version ?? ''}`;
        return !seen.has(key) && seen.add(key) !== undefined;
      });
  }
}

/** ms since the Unix epoch; 0 when it cannot be read. */
export function timeOf(event: EventRow): number {
  return Date.parse(event.at) || 0;
}

/** How far apart two changes may begin and still be one: three steps, and six when the deeper one is first. */
const onsetTolerance = { later: 3, earlier: 6 } as const;

/** True when `deeper` began at about the time of `shallower`. */
export function isAligned(deeper: Onset, shallower: Onset, stepMs: number): boolean {
  return (
    deeper.since <= shallower.sinceEnd + onsetTolerance.later * stepMs &&
    deeper.sinceEnd >= shallower.since - onsetTolerance.earlier * stepMs
  );
}

/** Of several changes the one that began with `onset`; the largest when there are more. */
export function alignedWith(changes: readonly Change[], onset: Onset, stepMs: number): Change | undefined {
  return largest(changes.filter((c) => isAligned(c, onset, stepMs)));
}

export function largest(changes: readonly Change[]): Change | undefined {
  return changes.reduce<Change | undefined>(
    (best, c) => (best === undefined || c.after - c.before > best.after - best.before ? c : best),
    undefined,
  );
}

/** What still lasts comes before what is over, then the larger; among those over, the newest. */
export function mostPressing(changes: readonly Change[]): Change | undefined {
  const lasting = changes.filter((c) => c.until === null);
  return lasting.length > 0 ? largest(lasting) : changes.at(-1);
}
