import { randomBytes } from 'node:crypto';
import { appendFile, mkdtemp, readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AnthropicServer, callTools, ModelScript, OpenAiServer, say } from '@coral/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { CoralSystem, type User } from '../scripts/demo/coral-system.js';
import { demoPolicy } from '../scripts/demo/incident.js';
import { coral, type Finished } from '../scripts/demo/processes.js';
import { sendOrdinaryTraffic } from './support/traffic.js';
import { until } from './support/until.js';
import { tracesOf } from './support/wiretap/traces.js';
import { Wiretap, type Overheard } from './support/wiretap/wiretap.js';

const wires = {
  anthropic: {
    open: (script: ModelScript, key: string) => AnthropicServer.start(script, key),
    ai: { provider: 'anthropic', model: 'claude-sonnet-5-5' },
    header: (key: string) => ['x-api-key', key],
  },
  'openai responses': {
    open: (script: ModelScript, key: string) => OpenAiServer.start(script, key),
    ai: { provider: 'openai', model: 'gpt-5.5', api: 'responses' },
    header: (key: string) => ['authorization', `Bearer ${key}`],
  },
  'openai chat': {
    open: (script: ModelScript, key: string) => OpenAiServer.start(script, key),
    ai: { provider: 'openai', model: 'gpt-5.5', api: 'chat' },
    header: (key: string) => ['authorization', `Bearer ${key}`],
  },
};

/** Of every process on this machine that may be looked at: what stands in its arguments and its environment. */
async function processesWith(secret: string): Promise<{ argv: number[]; environ: number[] }> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const holders = async (file: string): Promise<number[]> => {
    const texts = await Promise.all(
      // A process may be gone by now, or be somebody else's.
      pids.map(async (pid) => [pid, await readFile(`/proc/${pid}/${file}`).catch(() => Buffer.alloc(0))] as const),
    );
    return texts.filter(([, text]) => text.includes(secret)).map(([pid]) => pid);
  };
  return { argv: await holders('cmdline'), environ: await holders('environ') };
}

async function filesWith(secret: string, folder: string): Promise<string[]> {
  const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const found: string[] = [];
  for (const { parentPath, name } of files) {
    const path = join(parentPath, name);
    if (tracesOf(secret, await readFile(path)).length > 0) found.push(path);
  }
  return found;
}

describe.each(Object.entries(wires))('the key of %s', (_name, wire) => {
  // Letters that every encoding looked for knows.
  const key = `sk-canary-${randomBytes(24).toString('hex')}`;
  const undo = new AsyncDisposableStack();
  const taps = {} as Record<'laptop' | 'colony' | 'agent', Wiretap>;
  const heard = {} as Record<keyof typeof taps, Overheard[]>;
  let system: CoralSystem;
  let robin: User;
  let provider: string;
  let requests: number;
  let asked: Finished;
  let processes: Awaited<ReturnType<typeof processesWith>>;

  beforeAll(async () => {
    for (const name of ['laptop', 'colony', 'agent'] as const) taps[name] = undo.use(await Wiretap.open());
    const folder = await mkdtemp(join(tmpdir(), 'coral-key-'));
    // TLS in place of WireGuard: what goes through the tunnel is the same, and the wiretap can read it.
    const settings = { audit: { store_transcripts: true }, mesh: { driver: 'direct' } };
    system = await CoralSystem.open(folder, demoPolicy, 'demo', settings, taps.colony.environment);
    undo.defer(() => system.erase());
    undo.use(system);
    const agent = await system.startAgent('orders-1', 'robin', {}, taps.agent.environment);
    await sendOrdinaryTraffic(`http://${agent.ready.otlp_http}`);
    robin = await system.addUser('robin');
    // From here on the agent is one that answers: before its first report every answer is partial.
    await until(async () => (await robin.coral(['query', 'payment latency, last 15m', '--json'])).code === 0);
    const script = new ModelScript([
      callTools(['coral_get_health'], ['coral_query', { query: 'latency by service, last 15m' }]),
      callTools(['coral_fetch_live', { agent_id: agent.ready.agent_id, sql_query: 'SELECT count(*) FROM spans' }]),
      async () => {
        processes = await processesWith(key);
        return say('Nothing stands out. ', 'VERDICT: INCONCLUSIVE');
      },
    ]);
    const server = undo.use(await wire.open(script, key));
    const endpoint = 'endpoint' in server ? server.endpoint : server.url;
    provider = new URL(endpoint).host;
    const ai = { ...wire.ai, endpoint, api_key: 'env://CANARY_KEY' };
    await appendFile(join(robin.home, '.coral', 'config.yaml'), `\n${stringify({ ai })}`);
    asked = await coral(
      ['ask', 'Why is payment slow?', '--share', '--transcript', join(robin.home, 'transcript.json')],
      { ...robin.environment, ...taps.laptop.environment, CANARY_KEY: key },
    );
    requests = server.requests.length;
    for (const name of ['laptop', 'colony', 'agent'] as const) heard[name] = await taps[name].heard();
  });
  afterAll(() => undo.disposeAsync());

  it('was needed: the question was answered with it, in three requests', () => {
    expect(asked, asked.stderr).toMatchObject({ code: 0, stdout: expect.stringContaining('Nothing stands out.') });
    expect(requests).toBe(3);
  });

  it('stands in one header of each request to the provider, and nowhere else in it', () => {
    const sent = Buffer.concat(heard.laptop.filter(({ to }) => to === provider).map((one) => one.sent)).toString(
      'latin1',
    );
    const [name, value] = wire.header(key) as [string, string];
    expect(sent.toLowerCase().split(`${name}: ${value}\r\n`.toLowerCase())).toHaveLength(requests + 1);
    expect(sent.split(key)).toHaveLength(requests + 1);
  });

  it('is in nothing else that the laptop says, on either side of the mesh seam, in any encoding', () => {
    const others = heard.laptop.filter(({ to }) => to !== provider);
    // The wiretap understands what it hears: the token for the colony, the calls in the tunnel, what was shared.
    const all = Buffer.concat(others.map(({ sent }) => sent));
    expect(tracesOf(robin.environment.CORAL_TOKEN, all)).not.toEqual([]);
    expect(all.includes('latency by service, last 15m')).toBe(true);
    expect(all.includes('Why is payment slow?')).toBe(true);
    for (const { to, sent, received } of others) {
      expect(tracesOf(key, sent), `sent to ${to}`).toEqual([]);
      expect(tracesOf(key, received), `received from ${to}`).toEqual([]);
    }
  });

  it('is in nothing that colony and agent say to anybody', () => {
    expect(heard.colony.some(({ sent }) => sent.includes('SELECT count(*) FROM spans'))).toBe(true);
    expect(heard.agent.length).toBeGreaterThan(0);
    for (const { to, sent, received } of [...heard.colony, ...heard.agent]) {
      expect(tracesOf(key, Buffer.concat([sent, received])), to).toEqual([]);
    }
  });

  it('is in no log, audit, telemetry, transcript or configuration', async () => {
    expect(tracesOf(key, Buffer.from(asked.stdout + asked.stderr))).toEqual([]);
    expect(tracesOf(key, Buffer.from(system.colony.log()))).toEqual([]);
    for (const agent of system.agents.values()) expect(tracesOf(key, Buffer.from(agent.log()))).toEqual([]);
    // The search finds what is there: the question, in the audit's copy of what was shared and in the transcript.
    expect((await filesWith('payment', system.folder)).length).toBeGreaterThan(1);
    expect(await filesWith(key, system.folder)).toEqual([]);
  });

  it('is in no arguments, and in no environment but that of the command it was given to', () => {
    expect(processes.argv).toEqual([]);
    expect(processes.environ).toHaveLength(1);
  });
});
