import { mkdtemp, readFile, readdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { callTools, ModelScript, OpenAiServer, say, type ScriptStep } from '@coral/testing';
import { CoralSystem, type User } from '../scripts/demo/coral-system.js';
import { demoPolicy } from '../scripts/demo/incident.js';
import { projectRoot } from '../scripts/demo/processes.js';
import { end, type Ended } from './support/laptop.js';
import { sendOrdinaryTraffic } from './support/traffic.js';
import { until } from './support/until.js';

/** Every line that runs coral in a ```bash block of the docs; `npm …` lines are what CI itself runs. */
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
      else if (inside && /^(?:.*\| )?coral /.test(text.trim())) commands.push({ file, line: i + 1, text: text.trim() });
    }
  }
  return commands;
}

/** Answers with what a tool returned, after calling the one that it has. */
const model: ScriptStep = ({ question, results, tools }) => {
  const [result] = results;
  if (result !== undefined) return say(/"receipt":"(\w+)"/.exec(result.text)?.[1] ?? 'Nothing is wrong.');
  const word = /the word (\w+)/.exec(question)?.[1];
  return word === undefined ? callTools(['coral_get_health']) : callTools([tools[0] ?? '', { word }]);
};

describe('every command shown in the docs', () => {
  let system: CoralSystem;
  let server: OpenAiServer;
  let robin: User;
  let environment: NodeJS.ProcessEnv;

  beforeAll(async () => {
    system = await CoralSystem.open(await mkdtemp(join(tmpdir(), 'coral-docs-')), demoPolicy, 'demo');
    const agent = await system.startAgent('edge-1', 'robin');
    robin = await system.addUser('robin');
    await sendOrdinaryTraffic(`http://${agent.ready.otlp_http}`);
    await until(async () => (await robin.coral(['query', 'payment latency, last 15m', '--json'])).code === 0);
    server = await OpenAiServer.start(new ModelScript([model], true));
    environment = {
      ...robin.environment,
      MODEL_ENDPOINT: server.endpoint,
      SPARE_KEY: 'sk-spare',
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
    await server[Symbol.asyncDispose]();
    await system[Symbol.asyncDispose]();
    await system.erase();
  });

  /** In a process of its own, while this one serves the model. */
  const run = (text: string): Promise<Ended> => {
    const shell = spawn('bash', ['-c', text], { env: environment, cwd: system.folder, timeout: 60_000 });
    shell.stdin.end();
    return end(shell);
  };

  it('runs as shown', async () => {
    const commands = await shownCommands();
    expect(commands.length).toBeGreaterThan(15);
    const failures: string[] = [];
    // Each page is read by somebody who has just been given access.
    const config = join(robin.home, '.coral', 'config.yaml');
    const fresh = await readFile(config, 'utf8');
    let page = '';
    for (const { file, line, text } of commands) {
      if (file !== page) await writeFile(config, fresh);
      page = file;
      const expected = Number(/# exit (\d+)\s*$/.exec(text)?.[1] ?? 0);
      const { code, stderr } = await run(text);
      if (code !== expected) failures.push(`${file}:${line}: ${text}\n  exit ${code}: ${stderr.trim()}`);
    }
    expect(failures).toEqual([]);
  });
});
