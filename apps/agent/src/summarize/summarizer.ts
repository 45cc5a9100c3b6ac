import { emptyHistogram, type Clock, type Histogram } from '@coral/model';
import { colonyV1 } from '@coral/rpc';
import type { Limits } from '../agent.config.js';
import { describeError, type AgentLog } from '../log.js';
import type { AgentMetrics } from '../ops/agent-metrics.js';
import type { SpanStore } from '../store/span-store.js';
import { splitBatch } from './batch-size.js';
import { NameCaps, other } from './name-caps.js';
import type { Outbox, SummaryBatch } from './outbox.js';
import {
  bucketRows,
  countSpans,
  linkRows,
  sightingRows,
  type BucketRow,
  type LinkRow,
  type SeqRange,
  type SightingRow,
} from './summary-queries.js';

/** Spans one round takes at most; a backlog is worked off in several. */
const maxSpansPerRound = 200_000;
/** Distinct versions of one service, and distinct peers, that are named. */
const maxVersionsPerService = 50;
const maxPeersPerService = 200;
/** Sightings per batch. */
const maxSightings = 1_000;
/** Rounds that may fail in a row before the span files are checked for damage. */
const failuresBeforeCheck = 3;

export interface SummarizerOptions {
  store: SpanStore;
  outbox: Outbox;
  windowMs: number;
  limits: Pick<Limits, 'max_services' | 'max_routes_per_service' | 'max_links'>;
  clock: Clock;
  log: AgentLog;
  metrics: AgentMetrics;
}

/** Turns committed spans into batches for the colony. Every span is counted, before anything is sampled or dropped. */
export class Summarizer {
  readonly #options: SummarizerOptions;
  readonly #services: NameCaps;
  readonly #versions = new NameCaps(maxVersionsPerService);
  readonly #routes: NameCaps;
  readonly #peers = new NameCaps(maxPeersPerService);
  #failures = 0;

  constructor(options: SummarizerOptions) {
    this.#options = options;
    this.#services = new NameCaps(options.limits.max_services);
    this.#routes = new NameCaps(options.limits.max_routes_per_service);
  }

  /**
   * Summarises everything committed so far. An idle agent leaves an empty batch when nothing else waits: the colony then
   * knows that it is alive. Never throws; a failed round is tried again by the next.
   */
  async run(): Promise<void> {
    const { outbox, store, clock, log } = this.#options;
    try {
      while (outbox.cursor < store.lastSeq) await this.#round();
      if (outbox.length === 0) {
        const beat = { producedAtMs: clock.now(), windows: [], edges: [], links: [], sightings: [] };
        outbox.add([beat], outbox.cursor);
      }
      this.#failures = 0;
    } catch (thrown) {
      this.#failures++;
      log.error('a summary could not be made', { ...describeError(thrown), failures: this.#failures });
      if (this.#failures % failuresBeforeCheck === 0) await this.#checkFiles();
    }
    this.#reportLosses();
  }

  async #checkFiles(): Promise<void> {
    await this.#options.store.checkFiles().catch((thrown: unknown) => {
      this.#options.log.error('the span files cannot be opened', describeError(thrown));
    });
  }

  async #round(): Promise<void> {
    const { store, outbox, windowMs, clock, log, limits } = this.#options;
    const range: SeqRange = { from: outbox.cursor, to: Math.min(store.lastSeq, outbox.cursor + maxSpansPerRound) };
    const found = await store.read(async (connection, files) => ({
      spans: await countSpans(connection, files, range),
      served: await bucketRows(connection, files, range, windowMs, servedKeys, "kind IN ('SERVER', 'CONSUMER')"),
      called: await bucketRows(connection, files, range, windowMs, calledKeys, 'peer_kind IS NOT NULL'),
      links: await linkRows(connection, files, range, limits.max_links),
      sightings: await sightingRows(connection, files, range, maxSightings + 1),
    }));
    const now = clock.now();
    if (found.sightings.length > maxSightings) {
      log.warn('more instances than one summary names', { named: maxSightings });
    }
    const batch: SummaryBatch = {
      producedAtMs: now,
      windows: this.#serviceWindows(found.served, now),
      edges: this.#edgeWindows(found.called, now),
      links: found.links.map(toLink),
      sightings: found.sightings.slice(0, maxSightings).map(toSighting),
    };
    outbox.add(splitBatch(batch), range.to);
    if (found.spans > 0) {
      log.info('summary', {
        spans: found.spans,
        windows: batch.windows.length,
        edges: batch.edges.length,
        to: range.to,
      });
    }
  }

  #serviceWindows(rows: readonly BucketRow[], now: number): colonyV1.ServiceWindow[] {
    const groups = new Map<string, colonyV1.ServiceWindow & { latency: colonyV1.LatencyHistogram }>();
    for (const row of rows) {
      const [asService, asVersion, asRoute] = row.keys as [string, string, string];
      const service = this.#services.admit('', asService, now);
      const version = service === other ? other : this.#versions.admit(service, asVersion, now);
      const route = service === other ? other : this.#routes.admit(service, asRoute, now);
      const key = JSON.stringify([row.startMs, service, version, route]);
      let window = groups.get(key);
      if (window === undefined) {
        const { startMs } = row;
        window = { startMs, lengthMs: this.#options.windowMs, service, version, route, ...noRequests() };
        groups.set(key, window);
      }
      addRow(window, row);
    }
    return [...groups.values()];
  }

  #edgeWindows(rows: readonly BucketRow[], now: number): colonyV1.EdgeWindow[] {
    const groups = new Map<string, colonyV1.EdgeWindow & { latency: colonyV1.LatencyHistogram }>();
    for (const row of rows) {
      const [asService, kind, asAddress, asSystem, asName] = row.keys as [string, string, string, string, string];
      const service = this.#services.admit('', asService, now);
      const peer = JSON.stringify([kind, asAddress, asSystem, asName]);
      const named = service !== other && this.#peers.admit(service, peer, now) !== other;
      const [address, system, name] = named ? [asAddress, asSystem, asName] : [other, asSystem, ''];
      const key = JSON.stringify([row.startMs, service, kind, address, system, name]);
      let window = groups.get(key);
      if (window === undefined) {
        const { startMs } = row;
        const lengthMs = this.#options.windowMs;
        window = {
          startMs,
          lengthMs,
          service,
          kind: peerKinds[kind] ?? unspecified,
          address,
          system,
          name,
          ...noRequests(),
        };
        groups.set(key, window);
      }
      addRow(window, row);
    }
    return [...groups.values()];
  }

  #reportLosses(): void {
    const { store, outbox, log, metrics } = this.#options;
    const losses = [...store.takeLosses(), ...outbox.takeLosses()];
    if (losses.length === 0) return;
    metrics.lost(losses.length);
    log.error('data_loss', { losses });
  }
}

const servedKeys = ['service', 'version', 'route'];
const calledKeys = ['service', 'peer_kind', 'peer_address', 'peer_system', 'peer_name'];

const unspecified = colonyV1.PeerKind.PEER_KIND_UNSPECIFIED;
const peerKinds: Record<string, colonyV1.PeerKind> = {
  request: colonyV1.PeerKind.PEER_KIND_REQUEST,
  database: colonyV1.PeerKind.PEER_KIND_DATABASE,
  queue: colonyV1.PeerKind.PEER_KIND_QUEUE,
};

function noRequests(): { requests: number; errors: number; latency: colonyV1.LatencyHistogram } {
  return { requests: 0, errors: 0, latency: toWire(emptyHistogram()) };
}

function toWire(histogram: Histogram): colonyV1.LatencyHistogram {
  const { zeroCount, sum, min, max, buckets, counts } = histogram;
  return { zeroCount, sumNs: sum, minNs: min, maxNs: max, buckets, counts };
}

/** Rows come ordered by bucket within their own keys; merging names into `(other)` may bring a bucket again, out of order. */
function addRow(into: { requests: number; errors: number; latency: colonyV1.LatencyHistogram }, row: BucketRow): void {
  const { latency } = into;
  latency.minNs = into.requests === 0 ? row.minNs : Math.min(latency.minNs, row.minNs);
  latency.maxNs = Math.max(latency.maxNs, row.maxNs);
  latency.sumNs += row.sumNs;
  into.requests += row.requests;
  into.errors += row.errors;
  if (row.bucket === null) {
    latency.zeroCount += row.requests;
    return;
  }
  const { bucket } = row;
  const found = latency.buckets.findIndex((known) => known >= bucket);
  const at = found === -1 ? latency.buckets.length : found;
  if (latency.buckets[at] === bucket) latency.counts[at] = (latency.counts[at] as number) + row.requests;
  else {
    latency.buckets.splice(at, 0, bucket);
    latency.counts.splice(at, 0, row.requests);
  }
}

function toLink(row: LinkRow): colonyV1.SpanLink {
  return {
    traceId: Buffer.from(row.traceId, 'hex'),
    spanId: Buffer.from(row.spanId, 'hex'),
    side: row.side === 'client' ? colonyV1.LinkSide.LINK_SIDE_CLIENT : colonyV1.LinkSide.LINK_SIDE_SERVER,
    service: row.service,
    address: row.address,
    atMs: row.atMs,
  };
}

function toSighting(row: SightingRow): colonyV1.ResourceSighting {
  const { service, version, instance, host, firstMs, lastMs } = row;
  return { service, version, instance, host, firstSeenMs: firstMs, lastSeenMs: lastMs };
}
