/** A store behind real OTLP servers on ports of their own, without colony. */
import { join } from 'node:path';
import type { colonyV1 } from '@coral/rpc';
import { systemClock, type Clock } from '@coral/model';
import type { AgentConfig } from '../agent.config.js';
import { Intake } from '../ingest/intake.js';
import { OtlpGrpcServer } from '../ingest/otlp-grpc.js';
import { OtlpHttpServer } from '../ingest/otlp-http.js';
import { AgentMetrics } from '../ops/agent-metrics.js';
import { SpanStore, type Batch, type Committed } from '../store/span-store.js';
import { Outbox } from '../summarize/outbox.js';
import { Summarizer } from '../summarize/summarizer.js';
import { LogBook, scratch, testConfig } from './fixtures.js';

export interface IngestBench extends AsyncDisposable {
  config: AgentConfig;
  store: SpanStore;
  intake: Intake;
  book: LogBook;
  metrics: AgentMetrics;
  /** `http://host:port` */
  http: string;
  grpc: string;
  rows(sql: string): Promise<Record<string, unknown>[]>;
  summaries(): Promise<colonyV1.PushSummaryRequest[]>;
}

export interface BenchOptions {
  limits?: Record<string, unknown>;
  clock?: Clock;
  freeBytes?: () => Promise<number>;
  /** Stands before the store's own commit. */
  beforeCommit?: (batch: Batch) => Promise<void>;
}

export async function startIngest(options: BenchOptions = {}): Promise<IngestBench> {
  const directory = await scratch();
  const config = testConfig(directory.path, { limits: { min_free_disk: '0B', ...options.limits } });
  const clock = options.clock ?? systemClock;
  const book = new LogBook();
  const { log } = book;
  const metrics = new AgentMetrics();
  const spans = join(directory.path, 'spans');
  const store = await SpanStore.open({
    ...config,
    directory: spans,
    clock,
    log: book.log,
    ...(options.freeBytes === undefined ? {} : { freeBytes: options.freeBytes }),
  });
  const commit = async (batch: Batch): Promise<Committed> => {
    await options.beforeCommit?.(batch);
    return store.commit(batch);
  };
  const intake = new Intake({ limits: config.limits, clock, metrics, commit });
  const listen = { host: '127.0.0.1', port: 0 };
  const common = { listen, limits: config.limits, intake, metrics, log };
  const [httpServer, grpcServer] = [new OtlpHttpServer(common), new OtlpGrpcServer(common)];
  const [http, grpc] = [await httpServer.start(), await grpcServer.start()];
  return {
    config,
    store,
    intake,
    book,
    metrics,
    http: `http://${http}`,
    grpc: `http://${grpc}`,
    rows: (sql) =>
      store.read(async (connection, files) => {
        const views = ['spans', 'logs', 'metrics'] as const;
        const named = views.map((view) => `${view} AS (${SpanStore.source(view, '*', files)})`).join(', ');
        return (await connection.runAndReadAll(`WITH ${named} ${sql}`)).getRowObjectsJson();
      }),
    summaries: async () => {
      const outbox = Outbox.open({ directory: directory.path, maxBytes: 1e9, now: clock.now(), log });
      const windowMs = config.summaries.window;
      await new Summarizer({ store, outbox, windowMs, limits: config.limits, clock, log, metrics }).run();
      const all: colonyV1.PushSummaryRequest[] = [];
      for (let next = outbox.oldest(); next !== undefined; next = outbox.oldest()) {
        all.push(next.request);
        outbox.forget(next.seq);
      }
      outbox.close();
      return all;
    },
    [Symbol.asyncDispose]: async () => {
      await intake.stop();
      await httpServer.stop();
      await grpcServer.stop();
      await store.close();
      await directory[Symbol.asyncDispose]();
    },
  };
}
