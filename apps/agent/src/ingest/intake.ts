import { setTimeout as sleep } from 'node:timers/promises';
import { CoralError, toCoralError } from '@coral/errors';
import type { Clock } from '@coral/model';
import type { Limits } from '../agent.config.js';
import type { AgentMetrics } from '../ops/agent-metrics.js';
import type { Batch, Committed } from '../store/span-store.js';
import { ByteBudget } from './byte-budget.js';
import { agentBusy, agentStopping } from './ingest.errors.js';
import type { Reading } from './records.js';
import { readRequest, type Encoding, type Signal } from './request-reader.js';

/** How long the first request of a group waits for company: one commit then serves them all. */
export const groupWaitMs = 20;
/** A group takes no further request once it holds this many bytes. */
export const groupBytes = 4 * 1_048_576;

/** What to tell the exporter: everything else of the request is durable. */
export interface Accepted {
  rejected: number;
  message: string;
}

interface Waiting {
  signal: Signal;
  encoding: Encoding;
  body: Buffer;
  resolve(accepted: Accepted): void;
  reject(error: CoralError): void;
}

export interface IntakeOptions {
  limits: Limits;
  clock: Clock;
  metrics: AgentMetrics;
  commit(batch: Batch): Promise<Committed>;
}

/**
 * Requests wait here as raw bytes, within a budget, until one commit makes a group of them durable; only then are they
 * acknowledged. Reading is done group by group, so memory follows the budget and not the number of spans.
 */
export class Intake {
  readonly budget: ByteBudget;
  readonly #options: IntakeOptions;
  readonly #queue: Waiting[] = [];
  #committing: Promise<void> | undefined;
  #stopping = false;

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.budget = new ByteBudget(options.limits.max_in_flight);
  }

  /**
   * Resolves when the request is on disk. The caller has taken `body.length` bytes of `budget` for it; they are given
   * back here. Rejects with `malformed_body`, or with what `commit` rejects with.
   */
  async accept(signal: Signal, encoding: Encoding, body: Buffer): Promise<Accepted> {
    try {
      if (this.#stopping) throw agentStopping();
      return await new Promise<Accepted>((resolve, reject) => {
        this.#queue.push({ signal, encoding, body, resolve, reject });
        this.#committing ??= this.#run();
      });
    } finally {
      this.budget.give(body.length);
    }
  }

  /** Takes bytes of the budget, or throws `agent_busy`. */
  reserve(bytes: number): void {
    if (!this.budget.take(bytes)) throw agentBusy(this.budget.limit);
  }

  /** Refuses what comes from now on; resolves when everything accepted before is committed or refused. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#committing;
  }

  async #run(): Promise<void> {
    if (!this.#stopping) await sleep(groupWaitMs);
    while (this.#queue.length > 0) await this.#commitGroup(this.#takeGroup());
    this.#committing = undefined;
  }

  #takeGroup(): Waiting[] {
    let bytes = 0;
    const group: Waiting[] = [];
    while (this.#queue.length > 0 && (group.length === 0 || bytes < groupBytes)) {
      const next = this.#queue.shift() as Waiting;
      bytes += next.body.length;
      group.push(next);
    }
    return group;
  }

  async #commitGroup(group: Waiting[]): Promise<void> {
    const read: { request: Waiting; reading: Reading }[] = [];
    for (const request of group) {
      try {
        const { limits, clock } = this.#options;
        const reading = readRequest(request.signal, request.encoding, request.body, clock.now(), limits);
        read.push({ request, reading });
      } catch (thrown) {
        request.reject(toCoralError(thrown));
      }
    }
    if (read.length === 0) return;
    const { clock, metrics, commit } = this.#options;
    const began = clock.monotonic();
    try {
      const committed = await commit({
        spans: read.flatMap(({ reading }) => reading.spans),
        logs: read.flatMap(({ reading }) => reading.logs),
        metrics: read.flatMap(({ reading }) => reading.metrics),
      });
      metrics.committed(
        read.map(({ reading }) => reading),
        committed,
        (clock.monotonic() - began) / 1_000,
      );
      for (const { request, reading } of read) {
        request.resolve({ rejected: reading.rejected, message: reading.message });
      }
    } catch (thrown) {
      metrics.commitFailed();
      const error = toCoralError(thrown);
      for (const { request } of read) request.reject(error);
    }
  }
}
