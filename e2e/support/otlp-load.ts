import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';

/** One export of server spans in OTLP/JSON, and the ids in it. */
export function spanBatch(service: string, size: number): { body: string; ids: string[] } {
  const ids = Array.from({ length: size }, () => randomBytes(8).toString('hex'));
  const end = BigInt(Date.now()) * 1_000_000n;
  const spans = ids.map((spanId) => ({
    traceId: randomBytes(16).toString('hex'),
    spanId,
    name: 'GET',
    kind: 2,
    startTimeUnixNano: String(end - 5_000_000n),
    endTimeUnixNano: String(end),
    attributes: [{ key: 'http.route', value: { stringValue: '/work' } }],
    status: {},
  }));
  const resource = { attributes: [{ key: 'service.name', value: { stringValue: service } }] };
  return { body: JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ spans }] }] }), ids };
}

/** Like an SDK behind a flaky collector: each batch is sent until it is acknowledged, then the next. */
export class Load {
  readonly acknowledged = new Set<string>();
  /** Refused or broken attempts; each was sent again. */
  failures = 0;
  #batches = 0;
  #stopping = false;
  #waiting: { batches: number; resolve: () => void }[] = [];
  readonly #workers: Promise<void>[];

  /** `target` gives `host:port` of OTLP/HTTP, which may change from life to life. */
  constructor(target: () => string, workers = 4, size = 20) {
    this.#workers = Array.from({ length: workers }, () => this.#work(target, size));
  }

  /** Resolves when that many further batches have been acknowledged. */
  async more(batches: number): Promise<void> {
    await new Promise<void>((resolve) => this.#waiting.push({ batches: this.#batches + batches, resolve }));
  }

  /** Every batch begun is acknowledged when this resolves. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#workers);
  }

  async #work(target: () => string, size: number): Promise<void> {
    while (!this.#stopping) {
      const { body, ids } = spanBatch('cart', size);
      while (!(await this.#send(target(), body))) {
        this.failures++;
        // As an exporter does; what is tested does not depend on how long.
        await pause(20);
      }
      for (const id of ids) this.acknowledged.add(id);
      this.#batches++;
      for (const one of this.#waiting.filter(({ batches }) => batches <= this.#batches)) one.resolve();
      this.#waiting = this.#waiting.filter(({ batches }) => batches > this.#batches);
    }
  }

  async #send(target: string, body: string): Promise<boolean> {
    try {
      const headers = { 'content-type': 'application/json' };
      const response = await fetch(`http://${target}/v1/traces`, { method: 'POST', headers, body });
      await response.arrayBuffer();
      return response.status === 200;
    } catch {
      return false; // The agent is being killed: the whole point.
    }
  }
}
