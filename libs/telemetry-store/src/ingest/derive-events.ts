import type { EventType } from '@coral/tools';

/** One process as its telemetry named itself. Several agents may see the same one. */
export interface Instance {
  agentId: string;
  service: string;
  version: string;
  instance: string;
  host: string;
  firstSeenMs: number;
  lastSeenMs: number;
}

export interface DerivedEvent {
  atMs: number;
  type: EventType;
  service: string;
  summary: string;
  version: string;
  previousVersion: string;
  instance: string;
  host: string;
  agentId: string;
}

/**
 * How long the earlier process may go on answering after the new one appeared and still count as replaced: it drains its
 * last requests. Seen alive later than that, the two are replicas side by side, and nothing was restarted.
 */
export const drainMs = 30_000;

/** Beside living replicas, a process that has been gone for longer is not what a new one replaces: that is scaling up. */
export const replacementMs = 600_000;

/**
 * Reads deployments and restarts out of who was seen when, for one service. Pure and independent of the order in which
 * the sightings came in: it is run again on every change, so that a late batch puts the history right.
 *
 * deploy: an instance whose version differs from that of the newest instance first seen before it. The first version
 * ever seen of a service is no deployment; going back to an old version is one. Instances without a version say nothing.
 * restart: a new instance of a version on a host where an earlier one of that version has gone.
 */
export function deriveEvents(instances: readonly Instance[]): DerivedEvent[] {
  const inOrder = [...instances].sort(
    (a, b) =>
      a.firstSeenMs - b.firstSeenMs ||
      compare(a.version, b.version) ||
      compare(a.instance, b.instance) ||
      compare(a.host, b.host),
  );
  const events: DerivedEvent[] = [];
  const claimed = new Set<Instance>();
  for (const [i, one] of inOrder.entries()) {
    const earlier = inOrder.slice(0, i).filter((other) => other.firstSeenMs < one.firstSeenMs);
    const previous = earlier.findLast((other) => other.version !== '');
    if (one.version !== '' && previous !== undefined && previous.version !== one.version) {
      events.push({
        ...eventOf(one, 'deploy'),
        previousVersion: previous.version,
        summary: `${one.service} ${previous.version} → ${one.version}${placeOf(one)}`,
      });
      continue;
    }
    const replaced = replacedBy(one, earlier, claimed);
    if (replaced !== undefined) {
      claimed.add(replaced);
      const version = one.version === '' ? '' : ` ${one.version}`;
      events.push({ ...eventOf(one, 'restart'), summary: `${one.service}${version} restarted${placeOf(one)}` });
    }
  }
  return events;
}

/** The earlier process that `one` took over from: gone, not yet replaced by another, the one seen last. */
function replacedBy(one: Instance, earlier: readonly Instance[], claimed: ReadonlySet<Instance>): Instance | undefined {
  const siblings = earlier.filter(
    (other) => other.version === one.version && other.host === one.host && other.instance !== one.instance,
  );
  const gone = siblings
    .filter((other) => other.lastSeenMs <= one.firstSeenMs + drainMs && !claimed.has(other))
    .reduce<Instance | undefined>(
      (last, other) => (last && last.lastSeenMs >= other.lastSeenMs ? last : other),
      undefined,
    );
  const othersLive = siblings.some((other) => other.lastSeenMs > one.firstSeenMs + drainMs);
  return gone !== undefined && othersLive && one.firstSeenMs - gone.lastSeenMs > replacementMs ? undefined : gone;
}

function eventOf(one: Instance, type: EventType): Omit<DerivedEvent, 'summary'> {
  const { service, version, instance, host, agentId, firstSeenMs } = one;
  return { atMs: firstSeenMs, type, service, version, previousVersion: '', instance, host, agentId };
}

function placeOf(one: Instance): string {
  const instance = one.instance === '' ? '' : ` (instance ${one.instance})`;
  return one.host === '' ? instance : ` on ${one.host}${instance}`;
}

/** By code unit: the same everywhere, whatever the locale. */
function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
