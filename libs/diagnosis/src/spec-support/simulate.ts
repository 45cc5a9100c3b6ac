import type { MetricRow } from '@coral/tools';
import type { Random } from './random.js';
import type { Part, System } from './system.js';

/** What is out of order, while it is. Times in ms from the start of the simulation. */
export interface Disturbance {
  from: number;
  until: number;
  /** Added to the own time of a node, or of one caller's calls to it. */
  slowMs?: { node: string; caller?: string; ms: number; share?: number };
  /** Share of requests that a node fails, on top. */
  errors?: { node: string; share: number };
  /** Factor on the traffic of an entry. */
  surge?: { entry: string; factor: number };
}

export interface Run {
  lengthMs: number;
  stepMs: number;
  disturbances: readonly Disturbance[];
  /** Slow swing of the day: factor on traffic at a time. */
  drift: (at: number) => number;
}

interface Cell {
  requests: number;
  errors: number;
  durations: number[];
}

type Table = Map<string, Cell[]>;

export interface Recording {
  services: MetricRow[];
  dependencies: MetricRow[];
}

/** Plays every request through the system and records what an agent would: server spans, and client spans per attempt. */
export function simulate(random: Random, system: System, run: Run, startMs: number): Recording {
  const served: Table = new Map();
  const called = new Map<string, Table>();
  const steps = Math.ceil(run.lengthMs / run.stepMs);
  const isActive = (d: Disturbance, at: number): boolean => at >= d.from && at < d.until;
  const record = (table: Table, key: string, end: number, ms: number, failed: boolean): void => {
    const step = Math.floor(end / run.stepMs);
    if (end >= run.lengthMs) return;
    let cells = table.get(key);
    if (cells === undefined) {
      cells = Array.from({ length: steps }, () => ({ requests: 0, errors: 0, durations: [] }));
      table.set(key, cells);
    }
    const cell = cells[step] as Cell;
    cell.requests += 1;
    cell.errors += failed ? 1 : 0;
    cell.durations.push(ms);
  };
  const factorAt = (at: number): number => {
    let factor = run.drift(at);
    for (const d of run.disturbances) if (d.surge !== undefined && isActive(d, at)) factor *= d.surge.factor;
    return factor;
  };

  const serve = (part: Part, at: number, caller: string | undefined): { ms: number; failed: boolean } => {
    const load = factorAt(at);
    let ms = part.ownMs * Math.exp(part.sigma * random.normal()) * (1 + part.strain * Math.max(0, load - 1));
    // One request in a hundred is an outlier: a collected heap, a lost packet, a cold cache.
    if (random.chance(0.01)) ms *= random.between(2, 8);
    let failed = random.chance(part.errors);
    for (const d of run.disturbances) {
      if (!isActive(d, at)) continue;
      const slow = d.slowMs;
      if (slow?.node === part.node.id && (slow.caller ?? caller) === caller && random.chance(slow.share ?? 1)) {
        ms += slow.ms * Math.exp(0.25 * random.normal());
      }
      if (d.errors?.node === part.node.id && random.chance(d.errors.share)) failed = true;
    }
    let group = 0;
    for (const call of part.calls) {
      if (!random.chance(call.share)) continue;
      const target = system.parts.get(call.to) as Part;
      const begin = at + ms - (call.parallel ? group : 0);
      let spent = 0;
      let ok = false;
      for (let attempt = 0; attempt <= call.retries && !ok; attempt += 1) {
        const answer = serve(target, begin + spent, part.node.id);
        const took = answer.ms + random.between(0.1, 0.6);
        let table = called.get(part.node.id);
        if (table === undefined) called.set(part.node.id, (table = new Map<string, Cell[]>()));
        record(table, call.to, begin + spent + took, took, answer.failed);
        spent += took;
        ok = !answer.failed;
      }
      if (!ok) failed = true;
      ms += call.parallel ? Math.max(0, spent - group) : spent;
      group = call.parallel ? Math.max(group, spent) : spent;
    }
    if (part.node.kind === 'service') record(served, part.node.id, at + ms, ms, failed);
    return { ms, failed };
  };

  for (const [entry, rate] of system.entries) {
    for (let at = 0; at < run.lengthMs;) {
      let surge = 1;
      for (const d of run.disturbances) if (d.surge?.entry === entry && isActive(d, at)) surge *= d.surge.factor;
      at += (-Math.log(1 - random.next()) / (rate * surge * run.drift(at))) * 1_000;
      if (at < run.lengthMs) serve(system.parts.get(entry) as Part, at, undefined);
    }
  }
  return {
    services: [...served].flatMap(([service, cells]) => rowsOf({ service }, cells, run.stepMs, startMs)),
    dependencies: [...called].flatMap(([service, table]) =>
      [...table].flatMap(([dependency, cells]) => rowsOf({ service, dependency }, cells, run.stepMs, startMs)),
    ),
  };
}

function rowsOf(key: Partial<MetricRow>, cells: readonly Cell[], stepMs: number, startMs: number): MetricRow[] {
  return cells.flatMap((cell, step) => {
    if (cell.requests === 0) return [];
    const sorted = Float64Array.from(cell.durations).sort();
    const at = (p: number): number => sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)] as number;
    return [
      {
        ...key,
        start: new Date(startMs + step * stepMs).toISOString(),
        requests: cell.requests,
        requests_per_s: cell.requests / (stepMs / 1_000),
        errors: cell.errors,
        error_rate: cell.errors / cell.requests,
        p50_ms: at(0.5),
        p95_ms: at(0.95),
        p99_ms: at(0.99),
        max_ms: sorted.at(-1) as number,
      },
    ];
  });
}
