import { spawnSync } from 'node:child_process';
import { availableParallelism, loadavg, totalmem } from 'node:os';
import Table from 'cli-table3';
import { projectRoot } from '../../demo/processes.js';
import { median } from './statistics.js';

/** One number of a benchmark. `min` and `max` are over its `runs`; `baseline` and `ratio` are of a peer that ran beside it. */
export interface BenchResult {
  name: string;
  value: number;
  unit: string;
  min: number;
  max: number;
  runs: number;
  baseline?: number;
  ratio?: number;
  /** Of the ratio where there is one, else of the value; not to be exceeded. */
  bar?: number;
  ok?: boolean;
}

export interface BenchReport {
  bench: string;
  commit: string;
  machine: { cpus: number; memGiB: number; node: string; load: number };
  results: BenchResult[];
}

/** What one name came to in several runs. */
export function resultOf(
  name: string,
  unit: string,
  values: readonly number[],
  more: { baselines?: readonly number[]; bar?: number } = {},
): BenchResult {
  const value = median(values);
  const spread = { min: round(Math.min(...values)), max: round(Math.max(...values)), runs: values.length };
  const result: BenchResult = { name, value: round(value), unit, ...spread };
  if (more.baselines !== undefined) {
    result.baseline = round(median(more.baselines));
    // Of each round, whose two halves ran in the same weather; not of the medians.
    result.ratio = round(median(values.map((mine, i) => mine / (more.baselines?.[i] ?? Number.NaN))));
  }
  if (more.bar !== undefined) {
    result.bar = more.bar;
    result.ok = (result.ratio ?? result.value) <= more.bar;
  }
  return result;
}

/** Three digits behind the point say more than any of these measurements knows. */
function round(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}

export function reportOf(bench: string, results: BenchResult[]): BenchReport {
  const git = spawnSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: projectRoot, encoding: 'utf8' });
  return {
    bench,
    commit: git.status === 0 ? git.stdout.trim() : 'unknown',
    machine: {
      cpus: availableParallelism(),
      memGiB: Math.round((totalmem() / 2 ** 30) * 10) / 10,
      node: process.version,
      load: round(loadavg()[0] ?? 0),
    },
    results,
  };
}

/** One object for programs, a table for people. */
export function print(report: BenchReport, asJson: boolean): void {
  process.stdout.write(`${asJson ? JSON.stringify(report) : tableOf(report)}\n`);
}

function tableOf({ bench, commit, machine, results }: BenchReport): string {
  const table = new Table({
    head: ['name', 'value', 'unit', 'min', 'max', 'runs', 'baseline', 'ratio', 'bar', ''],
    style: { head: [], border: [] },
  });
  for (const { name, value, unit, min, max, runs, baseline, ratio, bar, ok } of results) {
    const verdict = ok === undefined ? '' : ok ? 'ok' : 'missed';
    table.push([name, value, unit, min, max, runs, baseline ?? '', ratio ?? '', bar ?? '', verdict]);
  }
  const where = `${machine.cpus} cpus, ${machine.memGiB} GiB, node ${machine.node}, load ${machine.load}`;
  return `bench ${bench} at ${commit} (${where})\n${table.toString()}`;
}
