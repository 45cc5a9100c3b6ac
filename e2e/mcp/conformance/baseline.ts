import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';

export interface Expected {
  because: string;
  /** `scenario` or `scenario:check`. */
  fails: string[];
}

/** By revision. */
export type Baseline = Record<string, Expected[]>;

export async function readBaseline(): Promise<Baseline> {
  return parse(await readFile(join(import.meta.dirname, '../conformance-baseline.yml'), 'utf8')) as Baseline;
}

/** Writes what the suite's `--expected-failures` reads. The older release knows whole scenarios only. */
export async function writeForSuite(expected: Expected[], folder: string, wholeScenarios: boolean): Promise<string> {
  const entries = expected.flatMap(({ fails }) => fails);
  const server = wholeScenarios ? [...new Set(entries.map((entry) => entry.split(':')[0]))] : entries;
  const file = join(folder, `expected-${wholeScenarios ? 'scenarios' : 'checks'}.yml`);
  await writeFile(file, stringify({ server }));
  return file;
}
