import { mkdtemp, readFile, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CoralSystem, type User } from '../scripts/demo/coral-system.js';
import { demoPolicy } from '../scripts/demo/incident.js';
import { projectRoot } from '../scripts/demo/processes.js';
import { sendOrdinaryTraffic } from './support/traffic.js';
import { until } from './support/until.js';

/** Every `coral …` line in a ```bash block of the docs; `npm …` lines are what CI itself runs. */
async function shownCommands(): Promise<{ file: string; line: number; text: string }[]> {
  const pages = (await readdir(join(projectRoot, 'docs'), { recursive: true }))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`);
  const commands: { file: string; line: number; text: string }[] = [];
  for (const file of ['README.md', ...pages.toSorted()]) {
    const lines = (await readFile(join(projectRoot, file), 'utf8')).split('\n');
    let inside = false;
    for (const [i, text] of lines.entries()) {
      if (text.trimStart().startsWith('```')) inside = text.trim() === '```bash' && !inside;
      else if (inside && text.trim().startsWith('coral ')) commands.push({ file, line: i + 1, text: text.trim() });
    }
  }
  return commands;
}

describe('every command shown in the docs', () => {
  let system: CoralSystem;
  let robin: User;
  let environment: NodeJS.ProcessEnv;

  beforeAll(async () => {
    system = await CoralSystem.open(await mkdtemp(join(tmpdir(), 'coral-docs-')), demoPolicy, 'demo');
    const agent = await system.startAgent('edge-1', 'robin');
    robin = await system.addUser('robin');
    await sendOrdinaryTraffic(`http://${agent.ready.otlp_http}`);
    await until(async () => (await robin.coral(['query', 'payment latency, last 15m', '--json'])).code === 0);
    environment = {
      ...robin.environment,
      PATH: `${join(projectRoot, 'bin')}:${process.env['PATH'] ?? ''}`,
      COLONY: system.colony.ready.endpoint,
      CA_FINGERPRINT: system.colony.ready.ca_fingerprint,
      ADMIN_SOCKET: join(system.folder, 'colony', 'admin.sock'),
      AUDIT: system.auditFolder,
      AGENT: agent.ready.agent_id,
      OUT: system.folder,
    };
  });

  afterAll(async () => {
    await system[Symbol.asyncDispose]();
    await system.erase();
  });

  it('runs as shown', async () => {
    const commands = await shownCommands();
    expect(commands.length).toBeGreaterThan(15);
    const failures = commands.flatMap(({ file, line, text }) => {
      const expected = Number(/# exit (\d+)\s*$/.exec(text)?.[1] ?? 0);
      const done = spawnSync('bash', ['-c', text], {
        env: environment,
        cwd: system.folder,
        encoding: 'utf8',
        timeout: 60_000,
      });
      return done.status === expected ? [] : [`${file}:${line}: ${text}\n  exit ${done.status}: ${done.stderr.trim()}`];
    });
    expect(failures).toEqual([]);
  });
});
