import { CoralError, toCoralError } from '@coral/errors';
import type { colonyV1 } from '@coral/rpc';
import { describeError, type AgentLog } from '../log.js';
import type { Outbox } from './outbox.js';

/** The colony as the pusher sees it. Both calls reject with CoralError. */
export interface SummarySink {
  /** Said at every start and after every break, before anything is pushed. */
  announce(signal: AbortSignal): Promise<void>;
  /** Resolves with the highest seq of the epoch that is durable. */
  push(request: colonyV1.PushSummaryRequest, signal: AbortSignal): Promise<number>;
}

export interface PusherOptions {
  outbox: Outbox;
  sink: SummarySink;
  log: AgentLog;
  /** Waits; rejects when the signal aborts. */
  wait(ms: number, signal: AbortSignal): Promise<void>;
  /** 0 ≤ x < 1 */
  random(): number;
}

export const firstBackoffMs = 500;
export const maxBackoffMs = 30_000;
/** Between attempts once the colony says that this agent may not speak to it. */
export const refusedBackoffMs = 300_000;
/** After so many refusals of the same batch as malformed it is dropped, so that the ones behind it get through. */
const refusalsBeforeDrop = 3;

/** Sends the outbox to the colony in order, one batch at a time, forever. Backs off with jitter while the colony is away. */
export class SummaryPusher {
  readonly #options: PusherOptions;
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #wake: () => void = () => {};
  #announced = false;
  #failures = 0;
  #refusals = { seq: 0, times: 0 };

  constructor(options: PusherOptions) {
    this.#options = options;
  }

  /** True after the last exchange with the colony went well. */
  get connected(): boolean {
    return this.#announced && this.#failures === 0;
  }

  start(): void {
    this.#running = this.#run();
  }

  /** There may be something new in the outbox. */
  wake(): void {
    this.#wake();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#wake();
    await this.#running;
  }

  /** Sends what waits until the outbox is empty or something fails. True when it is empty. */
  async drain(signal: AbortSignal): Promise<boolean> {
    const { outbox, sink } = this.#options;
    if (!this.#announced) {
      await sink.announce(signal);
      this.#announced = true;
    }
    for (let next = outbox.oldest(); next !== undefined; next = outbox.oldest()) {
      const durable = await this.#push(next.seq, next.request, signal);
      // Never more than was sent: a confused colony must not make us forget.
      if (durable >= next.seq) outbox.forget(next.seq);
      else
        throw new CoralError({
          kind: 'unavailable',
          reason: 'not_durable',
          message: 'The colony did not keep the summary.',
        });
      this.#failures = 0;
    }
    return true;
  }

  async #push(seq: number, request: colonyV1.PushSummaryRequest, signal: AbortSignal): Promise<number> {
    try {
      // In order and one at a time: this is the oldest we hold, so a colony that lost its telemetry need not wait for more.
      return await this.#options.sink.push({ ...request, oldestSeq: seq }, signal);
    } catch (thrown) {
      const error = toCoralError(thrown);
      if (error.kind !== 'invalid_argument') throw error;
      this.#refusals = { seq, times: this.#refusals.seq === seq ? this.#refusals.times + 1 : 1 };
      if (this.#refusals.times >= refusalsBeforeDrop) {
        this.#options.outbox.drop(seq, error.message);
        return seq;
      }
      throw error;
    }
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        const woken = new Promise<void>((resolve) => (this.#wake = resolve));
        await this.drain(signal);
        if (!signal.aborted) await woken;
      } catch (thrown) {
        if (signal.aborted) return;
        await this.#backOff(toCoralError(thrown), signal);
      }
    }
  }

  async #backOff(error: CoralError, signal: AbortSignal): Promise<void> {
    const { log, random, wait } = this.#options;
    this.#failures++;
    this.#announced = false;
    const refused = error.kind === 'unauthenticated' || error.kind === 'permission_denied';
    const ceiling = refused ? refusedBackoffMs : Math.min(maxBackoffMs, firstBackoffMs * 2 ** (this.#failures - 1));
    const delay = Math.round(ceiling * (0.5 + random() / 2));
    const fields = { ...describeError(error), next: error.next, attempt: this.#failures, retry_in_ms: delay };
    if (refused) log.error('the colony refuses this agent; its summaries wait on disk', fields);
    else log.warn('the colony cannot be reached; summaries wait on disk', fields);
    await wait(delay, signal).catch(() => undefined);
  }
}
