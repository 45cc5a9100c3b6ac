import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { emptyHistogram, recordValue, type AgentId, type Clock, type KeyId, type UserId } from '@coral/model';
import type { colonyV1 } from '@coral/rpc';
import { TelemetryStore, type TelemetryStoreOptions } from '@coral/telemetry-store';
import { toolSchemas, type ToolArgs, type ToolContext, type ToolEnvelope, type ToolName } from '@coral/tools';
import { createToolHandlers, type ToolDeps } from '../../mcp/tools/index.js';
import type { AgentCaller, AgentInfo } from '../agents.js';

/** Specs only: a real store in a directory of its own, a clock turned by hand, and agents that are what the spec says. */
export class Bench {
  readonly store: TelemetryStore;
  readonly clock: HandClock;
  agents: AgentInfo[] = [];
  readonly #directory: string;
  readonly #seqs = new Map<string, number>();

  private constructor(store: TelemetryStore, clock: HandClock, directory: string) {
    this.store = store;
    this.clock = clock;
    this.#directory = directory;
  }

  static async open(now: string | number, options: Partial<TelemetryStoreOptions> = {}): Promise<Bench> {
    const directory = mkdtempSync(join(tmpdir(), 'coral-tools-'));
    const clock = new HandClock(new Date(now).getTime());
    return new Bench(await TelemetryStore.open({ directory, clock, ...options }), clock, directory);
  }

  addAgent(name: string, services: string[] = []): AgentInfo {
    const agent = { agentId: `agt-${name}` as AgentId, name, lastSeen: this.clock.now(), services };
    this.agents.push(agent);
    return agent;
  }

  /** As the agent would send it now. */
  async push(agent: string, parts: Partial<colonyV1.PushSummaryRequest>): Promise<void> {
    const seq = (this.#seqs.get(agent) ?? 0) + 1;
    this.#seqs.set(agent, seq);
    const empty = { windows: [], edges: [], links: [], sightings: [] };
    await this.store.ingest(`agt-${agent}`, { epoch: 'e1', seq, producedAtMs: this.clock.now(), ...empty, ...parts });
  }

  async call<N extends ToolName>(
    name: N,
    args: Record<string, unknown>,
    changes: Partial<ToolDeps> = {},
    context: Partial<ToolContext> = {},
  ): Promise<ToolEnvelope> {
    const handlers = createToolHandlers({
      store: this.store,
      clock: this.clock,
      agents: { list: () => this.agents },
      agentCaller: noCaller,
      ...changes,
    });
    const parsed = toolSchemas[name].parse(args) as ToolArgs;
    const caller = { userId: 'alex' as UserId, agentId: 'eph-x' as AgentId, keyId: 'k' as KeyId };
    const signal = new AbortController().signal;
    return await handlers.get(name)!.run(parsed, { caller, now: this.clock.now(), signal, ...context });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store.close();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

export class HandClock implements Clock {
  #now: number;
  constructor(now: number) {
    this.#now = now;
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
}

const noCaller: AgentCaller = {
  runQuery: () => Promise.reject(new Error('this spec asks no agent')),
};

export function latencyOf(valuesMs: readonly number[]): colonyV1.LatencyHistogram {
  const h = emptyHistogram();
  for (const value of valuesMs) recordValue(h, value * 1e6);
  return { zeroCount: h.zeroCount, sumNs: h.sum, minNs: h.min, maxNs: h.max, buckets: h.buckets, counts: h.counts };
}

export interface Spec {
  service?: string;
  version?: string;
  route?: string;
  ms?: readonly number[];
  errors?: number;
}

/** A 10 s window that starts at `at`. */
export function windowAt(at: number, spec: Spec = {}): colonyV1.ServiceWindow {
  const { service = 'cart', version = '1.0.0', route = '/pay', ms = [10], errors = 0 } = spec;
  return {
    startMs: at,
    lengthMs: 10_000,
    service,
    version,
    route,
    requests: ms.length,
    errors,
    latency: latencyOf(ms),
  };
}

export function callAt(
  at: number,
  service: string,
  address: string,
  spec: { ms?: readonly number[]; errors?: number; kind?: number; system?: string; name?: string } = {},
): colonyV1.EdgeWindow {
  const { ms = [10], errors = 0, kind = 1, system = 'http', name = '' } = spec;
  return {
    startMs: at,
    lengthMs: 10_000,
    service,
    kind,
    address,
    system,
    name,
    requests: ms.length,
    errors,
    latency: latencyOf(ms),
  };
}

/** Both halves of one call: `address` is answered by `to`. */
export function answeredBy(n: number, from: string, address: string, to: string, at: number): colonyV1.SpanLink[] {
  const traceId = Buffer.alloc(16, n);
  const spanId = Buffer.alloc(8, n);
  return [
    { traceId, spanId, side: 1, service: from, address, atMs: at },
    { traceId, spanId, side: 2, service: to, address: '', atMs: at },
  ];
}

export function times<T>(count: number, value: T): T[] {
  return Array.from({ length: count }, () => value);
}

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
