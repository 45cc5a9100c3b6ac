import { setTimeout as pause } from 'node:timers/promises';
import type { CoralSystem, User } from './coral-system.js';
import { Shop, type Exporter, type ShopNames } from './shop.js';

export const faults = ['payment-deploy', 'slow-database', 'innocent-deploy', 'surge', 'none'] as const;
export type Fault = (typeof faults)[number];

/** Agents count requests in windows of this length, by the clock. */
const windowMs = 10_000;
/** Whole windows that the shop runs well before the fault, and that the fault lasts before anyone asks. */
const calmWindows = 3;
const troubleWindows = 2;
/** Into the window in which someone asks: by then the windows before it have reached the colony. */
const settleMs = 5_000;

/** Waits until the next window begins and `whole` more have passed after that. */
async function nextWindow(whole = 0): Promise<void> {
  const now = Date.now();
  await pause(windowMs - (now % windowMs) + whole * windowMs);
}

/** Policy of the demo: one who may ask, one who is on call and may look live, one who may do next to nothing. */
export const demoPolicy = {
  version: 1,
  roles: {
    developer: { permissions: ['read:metrics', 'read:topology', 'read:events', 'read:health'] },
    oncall: {
      permissions: [
        'read:metrics',
        'read:topology',
        'read:events',
        'read:health',
        'read:live_data',
        'read:audit',
        'manage:leases',
      ],
    },
    visitor: { permissions: ['read:health'] },
  },
  bindings: [
    { role: 'developer', users: ['alex'] },
    { role: 'oncall', users: ['robin'] },
    { role: 'visitor', users: ['sam'] },
  ],
};

/** Starts three agents and the shop beside them; each service speaks another OTLP protocol. */
export async function openShop(system: CoralSystem, names: ShopNames): Promise<Shop> {
  const [edge, orders, payments] = await Promise.all([
    system.startAgent('edge-1', 'alex'),
    system.startAgent('orders-1', 'alex'),
    system.startAgent('payments-1', 'robin'),
  ]);
  const http = (agent: typeof edge, protocol: Exporter['protocol']): Exporter => ({
    protocol,
    endpoint: `http://${agent.ready.otlp_http}`,
  });
  return Shop.open(names, {
    front: http(edge, 'http/protobuf'),
    orderer: http(orders, 'http/json'),
    payer: { protocol: 'grpc', endpoint: `http://${payments.ready.otlp_grpc}` },
    bystander: http(edge, 'http/json'),
  });
}

/**
 * Ordinary traffic, unless it runs already, then the fault as a window begins, then enough time for it to show.
 * `say` hears what happens.
 */
export async function runIncident(shop: Shop, fault: Fault, say: (line: string) => void): Promise<void> {
  const { names } = shop;
  if (!shop.isLoaded) {
    shop.startLoad();
    say(`ordinary traffic for ${calmWindows} windows of ${windowMs / 1_000} s`);
    await nextWindow(calmWindows);
  } else {
    await nextWindow();
  }
  const askAt = Date.now() + troubleWindows * windowMs + settleMs;
  if (fault === 'payment-deploy') {
    say(`deploying ${names.payer} 1.4.0`);
    await shop.deployBadPayer();
  } else if (fault === 'slow-database') {
    say(`a maintenance job starts on the database of ${names.payer}`);
    shop.slowDatabase();
  } else if (fault === 'innocent-deploy') {
    say(`deploying ${names.bystander} 2.8.0, and a maintenance job starts on the database of ${names.payer}`);
    await shop.deployInnocent();
    shop.slowDatabase();
  } else if (fault === 'surge') {
    say('traffic multiplies');
    shop.surge();
  } else {
    say('nothing happens');
  }
  await pause(askAt - Date.now());
}

/** What `coral ask --json` prints. */
export interface AskAnswer {
  question: string;
  answer: string;
  verdict: string;
  cause: { service: string; kind: string; version?: string; at: string } | null;
  evidence: { text: string; tool: string }[];
}

export async function ask(user: User, question: string): Promise<AskAnswer> {
  const done = await user.coral(['ask', question, '--json']);
  if (done.code !== 0) throw new Error(`coral ask ended with ${done.code}\n${done.stderr}`);
  return JSON.parse(done.stdout) as AskAnswer;
}
