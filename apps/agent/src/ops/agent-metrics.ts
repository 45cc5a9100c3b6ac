import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Reading } from '../ingest/records.js';
import type { Committed } from '../store/span-store.js';

/** What `/metrics` shows of this agent (Prometheus text). */
export class AgentMetrics {
  readonly registry = new Registry();
  readonly #accepted = this.#counter('coral_agent_items_accepted_total', 'Items made durable.', ['signal']);
  readonly #rejected = this.#counter('coral_agent_items_rejected_total', 'Malformed items that were refused.', []);
  readonly #duplicates = this.#counter('coral_agent_spans_duplicate_total', 'Spans that had been stored before.', []);
  readonly #early = this.#counter('coral_agent_spans_early_total', 'Spans that end in the future by our clock.', []);
  readonly #cut = this.#counter('coral_agent_attributes_cut_total', 'Attributes and events cut by the limits.', []);
  readonly #refused = this.#counter('coral_agent_requests_refused_total', 'Requests refused, by reason.', ['reason']);
  readonly #failures = this.#counter('coral_agent_commit_failures_total', 'Commits that failed.', []);
  readonly #losses = this.#counter('coral_agent_data_losses_total', 'Acknowledged data that was lost.', []);
  readonly #commitSeconds = new Histogram({
    name: 'coral_agent_commit_seconds',
    help: 'How long one group commit takes.',
    buckets: [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5],
    registers: [this.registry],
  });

  #counter(name: string, help: string, labelNames: string[]): Counter {
    return new Counter({ name, help, labelNames, registers: [this.registry] });
  }

  /** A number that is looked up when somebody asks. */
  gauge(name: string, help: string, value: () => number): void {
    const gauge: Gauge = new Gauge({ name, help, registers: [this.registry], collect: () => gauge.set(value()) });
  }

  committed(readings: readonly Reading[], committed: Committed, seconds: number): void {
    const sum = (count: (reading: Reading) => number) => readings.reduce((total, one) => total + count(one), 0);
    this.#accepted.inc({ signal: 'traces' }, committed.spans);
    this.#accepted.inc(
      { signal: 'logs' },
      sum((one) => one.logs.length),
    );
    this.#accepted.inc(
      { signal: 'metrics' },
      sum((one) => one.metrics.length),
    );
    this.#duplicates.inc(committed.duplicates);
    this.#rejected.inc(sum((one) => one.rejected));
    this.#early.inc(sum((one) => one.early));
    this.#cut.inc(sum((one) => one.cut));
    this.#commitSeconds.observe(seconds);
  }

  commitFailed(): void {
    this.#failures.inc();
  }

  refused(reason: string): void {
    this.#refused.inc({ reason });
  }

  lost(count: number): void {
    this.#losses.inc(count);
  }
}
