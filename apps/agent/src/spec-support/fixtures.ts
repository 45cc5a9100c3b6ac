/** What specs of the agent share. Real engine, real files, turned hands. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '@coral/model';
import { agentConfigSchema, type AgentConfig } from '../agent.config.js';
import { AgentLog, type LogFields } from '../log.js';

export class FakeClock implements Clock {
  #now: number;
  constructor(now = 1_790_000_000_000) {
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

export class LogBook {
  readonly lines: (LogFields & { level: string; message: string })[] = [];
  readonly log = new AgentLog(
    () => 0,
    (line) => this.lines.push(JSON.parse(line)),
  );
  /** Lines with this message. */
  of(message: string): LogFields[] {
    return this.lines.filter((line) => line.message.includes(message));
  }
}

/** A directory of its own, gone when the spec ends. */
export async function scratch(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'coral-agent-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

export function testConfig(dataDir: string, changes: Record<string, unknown> = {}): AgentConfig {
  return agentConfigSchema.parse({
    name: 'spec',
    data_dir: dataDir,
    environment: 'development',
    colony: { endpoint: '127.0.0.1:1', ca_fingerprint: `sha256:${'0'.repeat(64)}` },
    otlp: { grpc: { listen: '127.0.0.1:0' }, http: { listen: '127.0.0.1:0' } },
    ops: { listen: '127.0.0.1:0' },
    ...changes,
  });
}

export interface SpanSketch {
  trace?: string;
  span?: string;
  parent?: string;
  name?: string;
  kind?: string | number;
  /** End, ms since the epoch. */
  endMs: number;
  durationMs?: number;
  error?: boolean;
  attributes?: Record<string, string | number | boolean>;
}

let made = 0;
/** A different id each time, never zero. */
export function newId(bytes: number): string {
  made++;
  return `a${made.toString(16).padStart(bytes * 2 - 1, '0')}`;
}

/** One ResourceSpans in OTLP/JSON shape, times exact. */
export function exportJson(
  resource: Record<string, string>,
  spans: readonly SpanSketch[],
): { resourceSpans: Record<string, unknown>[] } {
  return {
    resourceSpans: [
      {
        resource: { attributes: jsonAttributes(resource) },
        scopeSpans: [{ scope: { name: 'spec' }, spans: spans.map(spanJson) }],
      },
    ],
  };
}

function jsonAttributes(values: Record<string, string | number | boolean>): unknown[] {
  return Object.entries(values).map(([key, value]) => ({
    key,
    value:
      typeof value === 'string'
        ? { stringValue: value }
        : typeof value === 'boolean'
          ? { boolValue: value }
          : Number.isInteger(value)
            ? { intValue: String(value) }
            : { doubleValue: value },
  }));
}

function spanJson(span: SpanSketch): Record<string, unknown> {
  const end = BigInt(Math.round(span.endMs * 1_000)) * 1_000n;
  return {
    traceId: span.trace ?? newId(16),
    spanId: span.span ?? newId(8),
    ...(span.parent === undefined ? {} : { parentSpanId: span.parent }),
    name: span.name ?? 'work',
    kind: span.kind ?? 2,
    startTimeUnixNano: String(end - BigInt(Math.round((span.durationMs ?? 5) * 1_000_000))),
    endTimeUnixNano: String(end),
    attributes: jsonAttributes(span.attributes ?? {}),
    status: span.error ? { code: 2, message: 'it failed' } : {},
  };
}
