import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '@coral/model';
import { dataDirUnusable } from './agent.errors.js';
import type { AgentConfig } from './agent.config.js';
import { ensureEnrolled } from './enroll/enrollment.js';
import { IdentityStore, type Membership } from './enroll/identity.js';
import { Intake } from './ingest/intake.js';
import { OtlpGrpcServer } from './ingest/otlp-grpc.js';
import { OtlpHttpServer } from './ingest/otlp-http.js';
import { describeError, type AgentLog } from './log.js';
import { ColonyLink } from './mesh/colony-link.js';
import { AgentMetrics } from './ops/agent-metrics.js';
import { QueryDesk } from './query/query-desk.js';
import { Snapshots } from './query/snapshots.js';
import { SpanStore } from './store/span-store.js';
import { Outbox } from './summarize/outbox.js';
import { SummaryPusher } from './summarize/pusher.js';
import { Summarizer } from './summarize/summarizer.js';

/** How long the last summaries may take to reach the colony when the agent stops; the rest goes after the next start. */
export const drainMs = 3_000;

/** The agent without Nest: everything it runs, started and stopped in an order that loses nothing. */
export class AgentRuntime {
  readonly config: AgentConfig;
  readonly metrics = new AgentMetrics();
  readonly store: SpanStore;
  readonly outbox: Outbox;
  readonly intake: Intake;
  readonly desk: QueryDesk;
  readonly #clock: Clock;
  readonly #log: AgentLog;
  readonly #summarizer: Summarizer;
  readonly #otlpGrpc: OtlpGrpcServer;
  readonly #otlpHttp: OtlpHttpServer;
  readonly #stopping = new AbortController();
  #ticking: Promise<void> = Promise.resolve();
  #pusher: SummaryPusher | undefined;
  #link: ColonyLink | undefined;
  #stopped: Promise<void> | undefined;

  private constructor(
    config: AgentConfig,
    clock: Clock,
    log: AgentLog,
    parts: { store: SpanStore; outbox: Outbox; snapshots: Snapshots },
  ) {
    this.config = config;
    this.store = parts.store;
    this.outbox = parts.outbox;
    this.desk = new QueryDesk(parts.snapshots);
    this.#clock = clock;
    this.#log = log;
    const { metrics, store, outbox } = this;
    this.intake = new Intake({ limits: config.limits, clock, metrics, commit: (batch) => store.commit(batch) });
    const windowMs = config.summaries.window;
    this.#summarizer = new Summarizer({ store, outbox, windowMs, limits: config.limits, clock, log, metrics });
    const otlp = { limits: config.limits, intake: this.intake, metrics, log };
    this.#otlpGrpc = new OtlpGrpcServer({ ...otlp, ...config.otlp.grpc });
    this.#otlpHttp = new OtlpHttpServer({ ...otlp, ...config.otlp.http });
    metrics.gauge('coral_agent_in_flight_bytes', 'Bytes read but not yet durable.', () => this.intake.budget.used);
    metrics.gauge('coral_agent_outbox_batches', 'Summaries the colony has not confirmed.', () => outbox.length);
    metrics.gauge('coral_agent_outbox_bytes', 'Bytes of those.', () => outbox.bytes);
    metrics.gauge('coral_agent_colony_connected', '1 while the colony takes summaries.', () =>
      this.connected ? 1 : 0,
    );
  }

  /** Opens what is on disk. The outbox comes first: it is the lock of the data directory. */
  static async open(config: AgentConfig, clock: Clock, log: AgentLog): Promise<AgentRuntime> {
    const { data_dir, retention, limits } = config;
    await mkdir(data_dir, { recursive: true, mode: 0o700 }).catch((thrown: unknown) => {
      throw dataDirUnusable(data_dir, thrown);
    });
    const outbox = Outbox.open({ directory: data_dir, maxBytes: limits.max_outbox, now: clock.now(), log });
    try {
      const directory = join(data_dir, 'spans');
      const store = await SpanStore.open({ directory, retention, limits, clock, log }, outbox.cursor);
      // Spans from before the outbox was lost may have been counted; counting twice is worse than missing ten seconds.
      if (outbox.startedOver) outbox.skipTo(store.lastSeq);
      const snapshots = await Snapshots.open(data_dir, store, retention.hot_window, clock);
      return new AgentRuntime(config, clock, log, { store, outbox, snapshots });
    } catch (thrown) {
      outbox.close();
      throw thrown;
    }
  }

  get ready(): boolean {
    return this.store.ready && this.#link !== undefined && !this.#stopping.signal.aborted;
  }

  get connected(): boolean {
    return this.#pusher?.connected ?? false;
  }

  /** Takes telemetry from here on. */
  async listen(): Promise<{ grpc: string; http: string }> {
    const grpc = await this.#otlpGrpc.start();
    const http = await this.#otlpHttp.start();
    this.#ticking = this.#tick();
    return { grpc, http };
  }

  /** Gets an identity if there is none, and opens this end of the mesh. Rejects when the colony refuses for good. */
  async join(env: NodeJS.ProcessEnv): Promise<{ membership: Membership; link: ColonyLink }> {
    const identity = new IdentityStore(this.config.data_dir);
    const enrolled = await ensureEnrolled({
      config: this.config,
      identity,
      log: this.#log,
      env,
      wait,
      signal: this.#stopping.signal,
    });
    this.#link = await ColonyLink.open(enrolled, this.config, this.#clock, this.#log);
    return { membership: enrolled.membership, link: this.#link };
  }

  /** Announces the agent and sends what waits, from now on. Questions of the colony must find their door open by then. */
  startPushing(): void {
    if (this.#link === undefined) return;
    this.#pusher = new SummaryPusher({
      outbox: this.outbox,
      sink: this.#link,
      log: this.#log,
      wait,
      random: Math.random,
    });
    this.#pusher.start();
  }

  /** Everything acknowledged is summarised; what the colony does not take in time waits on disk. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    await this.intake.stop();
    await this.#otlpHttp.stop();
    await this.#otlpGrpc.stop();
    await this.#ticking;
    await this.#summarizer.run();
    await this.#pusher?.stop();
    if (this.#pusher !== undefined) {
      await this.#pusher.drain(AbortSignal.timeout(drainMs)).catch((thrown: unknown) => {
        this.#log.warn('summaries wait on disk for the next start', describeError(thrown));
      });
    }
    await this.#link?.close();
    await this.store.close();
    this.outbox.close();
  }

  async #tick(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await wait(this.config.summaries.interval, signal).catch(() => undefined);
      if (signal.aborted) return;
      await this.#summarizer.run();
      this.#pusher?.wake();
      await this.store.enforceRetention(this.outbox.cursor).catch((thrown: unknown) => {
        this.#log.error('old files could not be deleted', describeError(thrown));
      });
    }
  }
}

async function wait(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal });
}
