import type { colonyV1 } from '@coral/rpc';
import { type Histogram, countOf } from '@coral/model';

/** What one batch may claim. An agent with a broken clock or a bug must not poison the numbers of the others. */
export const batchLimits = {
  /** How far a start may lie ahead of the colony's clock; up to here it is moved to the arrival, beyond it is refused. */
  maxAheadMs: 3_600_000,
  maxAgeMs: 7 * 86_400_000,
  maxLengthMs: 3_600_000,
  maxTextLength: 256,
  /** Bucket indexes of 1 ns and of 2^63 ns at scale 5 lie inside. */
  minBucket: -64,
  maxBucket: 2_048,
} as const;

export type RefusalReason =
  | 'too_far_ahead'
  | 'too_old'
  | 'bad_length'
  | 'no_service'
  | 'bad_count'
  | 'bad_histogram'
  | 'bad_kind'
  | 'bad_id'
  | 'no_address'
  | 'bad_time';

export interface Measured {
  startMs: number;
  lengthMs: number;
  requests: number;
  errors: number;
  latency: Histogram;
}
export interface ServiceWindowRow extends Measured {
  service: string;
  version: string;
  route: string;
}
export type PeerKindWord = 'request' | 'database' | 'queue';
export interface EdgeWindowRow extends Measured {
  service: string;
  kind: PeerKindWord;
  address: string;
  system: string;
  name: string;
}
export interface LinkRow {
  /** trace id and span id in hex: what both halves of one call have in common. */
  callId: string;
  side: 'client' | 'server';
  service: string;
  address: string;
  atMs: number;
}
export interface SightingRow {
  service: string;
  version: string;
  instance: string;
  host: string;
  firstSeenMs: number;
  lastSeenMs: number;
}

export interface CheckedBatch {
  windows: ServiceWindowRow[];
  edges: EdgeWindowRow[];
  links: LinkRow[];
  sightings: SightingRow[];
  refused: Partial<Record<RefusalReason, number>>;
  /** Rows that came from the future and were moved to their arrival. */
  clamped: number;
  /** Texts cut to their limit. */
  trimmed: number;
}

const kinds: Partial<Record<number, PeerKindWord>> = { 1: 'request', 2: 'database', 3: 'queue' };
const sides: Partial<Record<number, LinkRow['side']>> = { 1: 'client', 2: 'server' };

/** Sorts a batch into what can be kept and what cannot, row by row. `arrivalMs` is the colony's clock. */
export function checkBatch(batch: colonyV1.PushSummaryRequest, arrivalMs: number): CheckedBatch {
  const checked: CheckedBatch = {
    windows: [],
    edges: [],
    links: [],
    sightings: [],
    refused: {},
    clamped: 0,
    trimmed: 0,
  };
  const text = (raw: string): string => {
    const clean = raw.replaceAll(controlCharacters, ' ').trim();
    if (clean.length <= batchLimits.maxTextLength) return clean;
    checked.trimmed += 1;
    return clean.slice(0, batchLimits.maxTextLength);
  };
  const keep = <In, Out>(rows: readonly In[], into: Out[], check: (row: In) => Out | RefusalReason): void => {
    for (const row of rows) {
      const kept = check(row);
      if (typeof kept !== 'string') into.push(kept as Out);
      else checked.refused[kept as RefusalReason] = (checked.refused[kept as RefusalReason] ?? 0) + 1;
    }
  };
  const measured = (raw: RawMeasured): Measured | RefusalReason => {
    const result = checkMeasured(raw, arrivalMs);
    if (typeof result !== 'string' && result.startMs !== raw.startMs) checked.clamped += 1;
    return result;
  };
  const notAfterArrival = (ms: number): number => {
    if (ms <= arrivalMs) return ms;
    checked.clamped += 1;
    return arrivalMs;
  };

  keep(batch.windows, checked.windows, (raw) => {
    const service = text(raw.service);
    if (service === '') return 'no_service';
    const row = measured(raw);
    return typeof row === 'string' ? row : { ...row, service, version: text(raw.version), route: text(raw.route) };
  });
  keep(batch.edges, checked.edges, (raw) => {
    const service = text(raw.service);
    if (service === '') return 'no_service';
    const kind = kinds[raw.kind];
    if (kind === undefined) return 'bad_kind';
    const row = measured(raw);
    if (typeof row === 'string') return row;
    return { ...row, service, kind, address: text(raw.address), system: text(raw.system), name: text(raw.name) };
  });
  keep(batch.links, checked.links, (raw) => {
    const side = sides[raw.side];
    if (side === undefined) return 'bad_kind';
    if (raw.traceId.length !== 16 || raw.spanId.length !== 8) return 'bad_id';
    const service = text(raw.service);
    if (service === '') return 'no_service';
    const address = text(raw.address);
    if (side === 'client' && address === '') return 'no_address';
    const refusal = checkTime(raw.atMs, arrivalMs);
    if (refusal !== undefined) return refusal;
    const callId = Buffer.concat([raw.traceId, raw.spanId]).toString('hex');
    return { callId, side, service, address, atMs: notAfterArrival(raw.atMs) };
  });
  keep(batch.sightings, checked.sightings, (raw) => {
    const service = text(raw.service);
    if (service === '') return 'no_service';
    if (!Number.isSafeInteger(raw.firstSeenMs) || raw.lastSeenMs < raw.firstSeenMs) return 'bad_time';
    const refusal = checkTime(raw.lastSeenMs, arrivalMs);
    if (refusal !== undefined) return refusal;
    return {
      service,
      version: text(raw.version),
      instance: text(raw.instance),
      host: text(raw.host),
      // A process may be far older than its telemetry here; what is known of it begins with what the store can hold.
      firstSeenMs: Math.max(notAfterArrival(raw.firstSeenMs), arrivalMs - batchLimits.maxAgeMs),
      lastSeenMs: Math.min(raw.lastSeenMs, arrivalMs),
    };
  });
  return checked;
}

/** Telemetry is text from strangers: what reaches a terminal or a model must not move cursors. */
const controlCharacters = /\p{Cc}+/gu;

interface RawMeasured {
  startMs: number;
  lengthMs: number;
  requests: number;
  errors: number;
  latency?: colonyV1.LatencyHistogram | undefined;
}

function checkMeasured(raw: RawMeasured, arrivalMs: number): Measured | RefusalReason {
  const refusal = checkTime(raw.startMs, arrivalMs);
  if (refusal !== undefined) return refusal;
  const { lengthMs, requests, errors } = raw;
  if (!Number.isInteger(lengthMs) || lengthMs <= 0 || lengthMs > batchLimits.maxLengthMs) return 'bad_length';
  if (!isCount(requests) || !isCount(errors) || errors > requests) return 'bad_count';
  const latency = checkHistogram(raw.latency);
  if (latency === undefined || countOf(latency) > requests) return 'bad_histogram';
  // From the future: into the window that was being filled just before it arrived.
  const before = arrivalMs - 1;
  const startMs = raw.startMs <= arrivalMs ? raw.startMs : before - (before % lengthMs);
  return { startMs, lengthMs, requests, errors, latency };
}

function checkTime(ms: number, arrivalMs: number): RefusalReason | undefined {
  if (!Number.isSafeInteger(ms) || ms < 0) return 'bad_time';
  if (ms > arrivalMs + batchLimits.maxAheadMs) return 'too_far_ahead';
  return ms < arrivalMs - batchLimits.maxAgeMs ? 'too_old' : undefined;
}

function checkHistogram(raw: colonyV1.LatencyHistogram | undefined): Histogram | undefined {
  if (raw === undefined) return { zeroCount: 0, sum: 0, min: 0, max: 0, buckets: [], counts: [] };
  const { zeroCount, sumNs: sum, minNs: min, maxNs: max, buckets, counts } = raw;
  const amounts = [sum, min, max];
  if (!isCount(zeroCount) || amounts.some((n) => !Number.isFinite(n) || n < 0) || min > max) return undefined;
  if (buckets.length !== counts.length || !counts.every(isCount)) return undefined;
  const { minBucket, maxBucket } = batchLimits;
  const sound = buckets.every(
    (b, i) => Number.isInteger(b) && b >= minBucket && b <= maxBucket && (i === 0 || b > (buckets[i - 1] as number)),
  );
  return sound ? { zeroCount, sum, min, max, buckets: [...buckets], counts: [...counts] } : undefined;
}

/** Protobuf carries uint64; ts-proto hands up numbers, exact to 2^53. */
function isCount(n: number): boolean {
  return Number.isSafeInteger(n) && n >= 0;
}
