import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { emptyHistogram, recordValue, type Clock, type Histogram } from '@coral/model';
import type { colonyV1 } from '@coral/rpc';
import { TelemetryStore, type TelemetryStoreOptions } from '../telemetry-store.js';

/** Specs only. */
export class HandClock implements Clock {
  #now: number;
  constructor(at: string | number) {
    this.#now = new Date(at).getTime();
  }
  now(): number {
    return this.#now;
  }
  monotonic(): number {
    return this.#now;
  }
  advance(ms: number): void {
    this.#now += ms;
  }
  set(at: string | number): void {
    this.#now = new Date(at).getTime();
  }
}

export class TempDirectory implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'coral-telemetry-'));
  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

export async function openStore(clock: Clock, options: Partial<TelemetryStoreOptions> = {}) {
  const directory = new TempDirectory();
  const store = await TelemetryStore.open({ directory: directory.path, clock, ...options });
  return {
    store,
    directory: directory.path,
    [Symbol.asyncDispose]: async () => {
      await store.close();
      directory[Symbol.dispose]();
    },
  };
}

export function histogram(valuesMs: readonly number[]): Histogram {
  const result = emptyHistogram();
  for (const value of valuesMs) recordValue(result, value * 1e6);
  return result;
}

export function wire(h: Histogram): colonyV1.LatencyHistogram {
  return { zeroCount: h.zeroCount, sumNs: h.sum, minNs: h.min, maxNs: h.max, buckets: h.buckets, counts: h.counts };
}

export function batch(seq: number, parts: Partial<colonyV1.PushSummaryRequest> = {}): colonyV1.PushSummaryRequest {
  return { epoch: 'e1', seq, producedAtMs: 0, windows: [], edges: [], links: [], sightings: [], ...parts };
}

export interface WindowSpec {
  at: number;
  service?: string;
  version?: string;
  route?: string;
  ms?: readonly number[];
  errors?: number;
}

export function serviceWindow(spec: WindowSpec): colonyV1.ServiceWindow {
  const ms = spec.ms ?? [10];
  return {
    startMs: spec.at,
    lengthMs: 10_000,
    service: spec.service ?? 'cart',
    version: spec.version ?? '1.0.0',
    route: spec.route ?? '/pay',
    requests: ms.length,
    errors: spec.errors ?? 0,
    latency: wire(histogram(ms)),
  };
}

export interface EdgeSpec {
  at: number;
  service?: string;
  kind?: 1 | 2 | 3;
  address?: string;
  system?: string;
  name?: string;
  ms?: readonly number[];
  errors?: number;
}

export function edgeWindow(spec: EdgeSpec): colonyV1.EdgeWindow {
  const ms = spec.ms ?? [10];
  return {
    startMs: spec.at,
    lengthMs: 10_000,
    service: spec.service ?? 'cart',
    kind: spec.kind ?? 1,
    address: spec.address ?? 'billing:8080',
    system: spec.system ?? (spec.kind === 2 ? 'postgresql' : 'http'),
    name: spec.name ?? (spec.kind === 2 ? 'orders' : ''),
    requests: ms.length,
    errors: spec.errors ?? 0,
    latency: wire(histogram(ms)),
  };
}

export function sighting(
  service: string,
  version: string,
  instance: string,
  firstSeenMs: number,
  lastSeenMs: number,
  host = 'host-1',
): colonyV1.ResourceSighting {
  return { service, version, instance, firstSeenMs, lastSeenMs, host };
}

/** Two halves of one call. */
export function link(n: number, side: 1 | 2, service: string, address: string, atMs: number): colonyV1.SpanLink {
  const traceId = Buffer.alloc(16);
  traceId.writeUInt32BE(n, 12);
  const spanId = Buffer.alloc(8);
  spanId.writeUInt32BE(n, 4);
  return { traceId, spanId, side, service, address, atMs };
}

/** A small generator with a seed, so that a failing run can be run again. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
