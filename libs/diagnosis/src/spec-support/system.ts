import type { NodeRow } from '@coral/tools';
import { Random } from './random.js';

export interface Call {
  to: string;
  /** Share of requests that make this call. */
  share: number;
  /** Attempts after a failed one. */
  retries: number;
  /** Started together with the call before it. */
  parallel: boolean;
}

export interface Part {
  node: NodeRow;
  /** Median time spent here alone, ms, and the spread of its logarithm. */
  ownMs: number;
  sigma: number;
  /** Share of requests that fail here for no reason. */
  errors: number;
  /** How much slower it gets when its traffic is doubled: 0 for not at all. */
  strain: number;
  calls: Call[];
}

export interface System {
  parts: Map<string, Part>;
  /** Callers before callees. */
  services: string[];
  /** Services that people call, with requests per second. */
  entries: Map<string, number>;
}

/** A random acyclic system: services in layers, databases of which some are shared, externals at the rim. */
export function buildSystem(random: Random, size: number, ratePerS: number, mostEntries: 1 | 2): System {
  const names = new Set<string>();
  const newName = (): string => {
    for (;;) {
      const syllable = (): string =>
        random.pick(['ba', 'de', 'ki', 'lo', 'mu', 'ra', 'se', 'ti', 'vo', 'zu', 'na', 'po']);
      const name = `${syllable()}${syllable()}${syllable()}${random.chance(0.3) ? `-${syllable()}` : ''}`;
      if (!names.has(name)) return names.add(name) && name;
    }
  };
  const parts = new Map<string, Part>();
  const services = Array.from({ length: size }, newName);
  const entryCount = size < 8 || random.chance(0.6) ? 1 : mostEntries;
  const add = (node: NodeRow, ownMs: number): void => {
    parts.set(node.id, {
      node,
      ownMs,
      sigma: random.between(0.2, 0.6),
      errors: random.chance(0.5) ? 0 : random.between(0, 0.01),
      strain: random.chance(0.5) ? random.between(0.2, 1) : 0,
      calls: [],
    });
  };
  for (const name of services) add({ id: name, kind: 'service', name }, random.between(2, 30));
  const call = (to: string): Call => ({
    to,
    share: random.chance(0.6) ? 1 : random.between(0.3, 0.9),
    retries: random.chance(0.3) ? random.whole(1, 2) : 0,
    parallel: random.chance(0.3),
  });
  // Each service but the entries is called by one or two that stand before it, mostly near: deep rather than flat.
  for (let i = entryCount; i < size; i += 1) {
    const callers = new Set<number>();
    const count = random.chance(0.25) ? 2 : 1;
    for (let c = 0; c < count; c += 1) callers.add(random.whole(Math.max(0, i - 5), i - 1));
    for (const caller of callers) parts.get(services[caller] as string)?.calls.push(call(services[i] as string));
  }
  const stores = Math.max(1, Math.round(size * random.between(0.3, 0.7)));
  for (let d = 0; d < stores; d += 1) {
    const name = newName();
    const system = random.pick(['postgresql', 'mysql', 'redis', 'mongodb']);
    const id = `${system}:${name}@10.0.0.${d + 1}:5432`;
    add({ id, kind: 'database', name, system }, random.between(0.5, 8));
    const users = new Set([random.pick(services)]);
    while (random.chance(0.45) && users.size < size) users.add(random.pick(services));
    for (const user of users) parts.get(user)?.calls.push({ ...call(id), share: random.chance(0.7) ? 1 : 0.5 });
  }
  for (let e = 0; e < Math.ceil(size / 8); e += 1) {
    const name = `${newName()}.example`;
    const id = `http:${name}@${name}:443`;
    add({ id, kind: 'external', name, system: 'http' }, random.between(10, 60));
    parts.get(random.pick(services))?.calls.push(call(id));
  }
  const entries = new Map(services.slice(0, entryCount).map((name) => [name, ratePerS / entryCount] as const));
  return { parts, services, entries };
}
