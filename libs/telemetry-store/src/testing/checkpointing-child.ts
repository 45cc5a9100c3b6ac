import { spawnSync } from 'node:child_process';
import { Database } from '../database.js';

/**
 * Specs only: `node child <directory>`. A checkpoint meets a full disk, which the engine answers by refusing everything
 * until the file is opened again; then there is room again. Says what it saw, and is killed by its own hand.
 */
const [, , directory] = process.argv as [string, string, string];
const { database } = await Database.open({ directory, memoryLimit: '256MB', threads: 1, now: 0 });

function limitFiles(bytes: string): void {
  const done = spawnSync('prlimit', ['--pid', String(process.pid), `--fsize=${bytes}:unlimited`]);
  if (done.status !== 0) throw new Error(`prlimit: ${String(done.stderr)}`);
}
async function attempt(name: string, work: () => Promise<unknown>): Promise<void> {
  const said = await work().then(
    () => 'ok',
    (thrown: unknown) => (thrown instanceof Error && 'reason' in thrown ? String(thrown.reason) : String(thrown)),
  );
  process.stdout.write(`${name}: ${said}\n`);
}
const add = (name: string) => () =>
  database.write((sql) =>
    sql.run('INSERT INTO store_fact SELECT $name, repeat(i::VARCHAR, 50) FROM range(5000) r(i)', { name }),
  );

await attempt('first', add('first'));
limitFiles('300000');
await attempt('checkpoint', () => database.apart(['CHECKPOINT'], []));
limitFiles('unlimited');
await attempt('read', () => database.read((sql) => sql.rows('SELECT count(*) FROM store_fact')));
await attempt('second', add('second'));
process.kill(process.pid, 'SIGKILL');
