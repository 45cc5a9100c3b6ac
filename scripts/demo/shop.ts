import { Agent, get } from 'node:http';
import { join } from 'node:path';
import { projectRoot, start, type Running } from './processes.js';

/** Who plays which part. The product must find the culprit under any name. */
export interface ShopNames {
  front: string;
  /** Slow when its `payer` is slow; the one the question is about. */
  orderer: string;
  payer: string;
  /** Has its own database and nothing to do with any of it. */
  bystander: string;
}

export const demoNames: ShopNames = { front: 'web', orderer: 'checkout', payer: 'payment', bystander: 'catalogue' };

/** The same shop under other names, by a seed: words that tell nothing about the part they play. */
export function shuffledNames(seed: number): ShopNames {
  const words = [
    'amber',
    'basalt',
    'cobalt',
    'dune',
    'ember',
    'fjord',
    'garnet',
    'heron',
    'iris',
    'juniper',
    'krill',
    'lark',
  ];
  let state = seed >>> 0;
  const pick = (): string => {
    // Numerical Recipes' linear congruential generator; any would do.
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return words.splice(state % words.length, 1)[0] as string;
  };
  return { front: pick(), orderer: pick(), payer: pick(), bystander: pick() };
}

/** Where each service sends its telemetry: an agent's OTLP address and the protocol to speak. */
export interface Exporter {
  protocol: 'grpc' | 'http/protobuf' | 'http/json';
  endpoint: string;
}

interface Ready {
  port: number;
}

const indexedLookup = 'SELECT count(*), sum(amount) FROM entries WHERE customer = $1';
/** The bad release: wrapping the column in an expression puts the index out of use. */
const unindexedSearch = `SELECT count(*), sum(amount) FROM entries WHERE lower(customer || ' ' || note) LIKE '%' || lower($1) || '%'`;

/** Requests per second in ordinary times, and in the surge: more than the payer's provider can serve. */
const ordinaryRate = { orders: 5, browsing: 4 };
const surgeRate = { orders: 44, browsing: 8 };
const provider = { ms: 45, slots: 2 };

export class Shop implements AsyncDisposable {
  readonly names: ShopNames;
  readonly #exporters: Record<keyof ShopNames, Exporter>;
  readonly #running = new Map<string, Running<Ready>>();
  readonly #load = new Load();

  private constructor(names: ShopNames, exporters: Record<keyof ShopNames, Exporter>) {
    this.names = names;
    this.#exporters = exporters;
  }

  static async open(names: ShopNames, exporters: Record<keyof ShopNames, Exporter>): Promise<Shop> {
    const shop = new Shop(names, exporters);
    try {
      await Promise.all([shop.#startDatabase('payer'), shop.#startDatabase('bystander')]);
      await Promise.all([shop.#release('payer', '1.3.0'), shop.#release('bystander', '2.7.1')]);
      await shop.#release('orderer', '5.0.2');
      await shop.#release('front', '3.1.0');
      return shop;
    } catch (error) {
      await shop[Symbol.asyncDispose]();
      throw error;
    }
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port('front')}`;
  }

  get isLoaded(): boolean {
    return this.#load.isRunning;
  }

  startLoad(): void {
    this.#load.start(this.url, ordinaryRate);
  }

  surge(): void {
    this.#load.start(this.url, surgeRate);
  }

  /** Payment 1.4.0: a query that no index serves. */
  deployBadPayer(): Promise<void> {
    return this.#release('payer', '1.4.0');
  }

  /** Catalogue 2.8.0: nothing wrong with it. */
  deployInnocent(): Promise<void> {
    return this.#release('bystander', '2.8.0');
  }

  /** Somebody starts a maintenance job on the payer's database. */
  slowDatabase(): void {
    this.#running.get(`${this.names.payer}-database`)?.child.kill('SIGUSR2');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#load.stop();
    await Promise.all([...this.#running.values()].map((one) => one.stop('SIGKILL')));
  }

  #port(part: keyof ShopNames): number {
    return this.#running.get(this.names[part])?.ready.port ?? 0;
  }

  async #startDatabase(part: 'payer' | 'bystander'): Promise<void> {
    const name = `${this.names[part]}-database`;
    const program = join(projectRoot, 'scripts/demo/shop/database.mjs');
    this.#running.set(name, await start<Ready>({ name, args: [program] }));
  }

  /** The next version listens on the same port before the one before it leaves, as a rolling deployment does. */
  async #release(part: keyof ShopNames, version: string): Promise<void> {
    const name = this.names[part];
    const before = this.#running.get(name);
    const exporter = this.#exporters[part];
    const program = join(projectRoot, 'scripts/demo/shop/service.cjs');
    const after = await start<Ready>({
      name: `${name} ${version}`,
      args: ['--require', '@opentelemetry/auto-instrumentations-node/register', program],
      env: {
        SHOP_CONFIG: JSON.stringify({ port: before?.ready.port ?? 0, ...this.#design(part, version) }),
        OTEL_SERVICE_NAME: name,
        OTEL_RESOURCE_ATTRIBUTES: `service.version=${version}`,
        OTEL_EXPORTER_OTLP_PROTOCOL: exporter.protocol,
        OTEL_EXPORTER_OTLP_ENDPOINT: exporter.endpoint,
        OTEL_NODE_ENABLED_INSTRUMENTATIONS: 'http,express,pg,undici',
        OTEL_METRICS_EXPORTER: 'none',
        OTEL_LOGS_EXPORTER: 'none',
        OTEL_BSP_SCHEDULE_DELAY: '500',
      },
    });
    this.#running.set(name, after);
    await before?.stop();
  }

  #design(part: keyof ShopNames, version: string): object {
    const local = (of: keyof ShopNames, path: string): string => `http://127.0.0.1:${this.#port(of)}${path}`;
    const database = { host: '127.0.0.1', port: this.#running.get(`${this.names[part]}-database`)?.ready.port ?? 0 };
    switch (part) {
      case 'front':
        return {
          routes: {
            '/buy': { calls: [local('orderer', '/orders')] },
            '/browse': { calls: [local('bystander', '/items')] },
          },
        };
      case 'orderer':
        return { routes: { '/orders': { calls: [local('payer', '/pay')] } } };
      case 'payer':
        return {
          database,
          routes: { '/pay': { provider, sql: version === '1.3.0' ? indexedLookup : unindexedSearch } },
        };
      case 'bystander':
        return { database, routes: { '/items': { sql: indexedLookup } } };
    }
  }
}

/** Open-loop load: requests start on time whether or not the earlier ones have come back, up to a limit in flight. */
class Load {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 256 });
  #timers: NodeJS.Timeout[] = [];
  #inFlight = 0;

  get isRunning(): boolean {
    return this.#timers.length > 0;
  }

  start(url: string, rate: { orders: number; browsing: number }): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers = [
      setInterval(() => this.#ask(`${url}/buy`), 1_000 / rate.orders),
      setInterval(() => this.#ask(`${url}/browse`), 1_000 / rate.browsing),
    ];
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#agent.destroy();
  }

  #ask(url: string): void {
    if (this.#inFlight >= 100) return;
    this.#inFlight += 1;
    const request = get(url, { agent: this.#agent }, (response) => response.resume());
    // A refused or cut request is the shop's trouble and shows in its telemetry; `close` follows in any case.
    request.on('error', () => undefined);
    request.once('close', () => (this.#inFlight -= 1));
  }
}
