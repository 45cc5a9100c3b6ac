import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encode } from 'gpt-tokenizer/encoding/o200k_base';
import { callUnary, type colonyV1 } from '@coral/rpc';
import { toolDefinitions, type ToolEnvelope } from '@coral/tools';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { call, Proxied, request, stdioClients, type Json } from './mcp/proxied.js';
import { Laptop } from './support/laptop.js';
import { bearer, ColonyUnderTest } from './support/start-colony.js';
import { until } from './support/until.js';

/** `alex` may do all but look live, `robin` may do that too, `sam` may do nothing. */
const policy = `version: 1
roles:
  developer: { permissions: [read:metrics, read:topology, read:events, read:health] }
  oncall: { permissions: [read:metrics, read:topology, read:events, read:health, read:live_data] }
bindings:
  - { role: developer, users: [alex] }
  - { role: oncall, users: [robin] }
`;
const ofAlex = ['coral_query', 'coral_get_topology', 'coral_query_events', 'coral_get_health'];
const live = { agent_id: 'agt-none', sql_query: 'SELECT 1' };

const tokens = new WeakMap<Laptop, string>();

async function laptopOf(colony: ColonyUnderTest, user: string): Promise<Laptop> {
  const { token } = await colony.apiToken(user);
  const laptop = await Laptop.open({ CORAL_TOKEN: token });
  tokens.set(laptop, token);
  const { endpoint, ca_fingerprint } = colony.ready;
  await laptop.configure({ id: 'e2e', endpoint, ca_fingerprint });
  return laptop;
}

/** As `coral colony ephemeral list` asks for them, without starting a program each time. */
async function leases(colony: ColonyUnderTest, laptop: Laptop): Promise<colonyV1.EphemeralAgent[]> {
  using door = await colony.publicDoor();
  const metadata = bearer(tokens.get(laptop) ?? '');
  const { agents } = await callUnary(door.ephemeral, door.ephemeral.listEphemeralAgents, { userId: '' }, { metadata });
  return agents;
}

async function release(colony: ColonyUnderTest, laptop: Laptop, agentId: string): Promise<void> {
  using door = await colony.publicDoor();
  const metadata = bearer(tokens.get(laptop) ?? '');
  await callUnary(door.ephemeral, door.ephemeral.releaseEphemeralAccess, { agentId }, { metadata });
}

describe('coral mcp proxy', () => {
  let colony: ColonyUnderTest;
  let alex: Laptop;
  let robin: Laptop;
  let sam: Laptop;
  const running: Proxied[] = [];

  beforeAll(async () => {
    colony = await ColonyUnderTest.start({ policy });
    [alex, robin, sam] = (await Promise.all(['alex', 'robin', 'sam'].map((user) => laptopOf(colony, user)))) as [
      Laptop,
      Laptop,
      Laptop,
    ];
  });
  afterAll(async () => {
    await colony.mustVerify();
    await colony[Symbol.asyncDispose]();
    await Promise.all([alex, robin, sam].map((laptop) => laptop[Symbol.asyncDispose]()));
  });
  beforeEach(() => {
    running.length = 0;
  });
  afterEach(async () => {
    for (const { child, ended } of running) {
      child.kill('SIGKILL');
      await ended;
    }
    for (const laptop of [alex, robin, sam]) {
      for (const { agentId } of await leases(colony, laptop)) await release(colony, laptop, agentId);
    }
  });

  const start = (laptop: Laptop, args: string[] = [], env: NodeJS.ProcessEnv = {}): Proxied => {
    const proxied = new Proxied(laptop.start(['mcp', 'proxy', ...args], env));
    running.push(proxied);
    return proxied;
  };

  describe.each(stdioClients)('with the client $name', ({ speaks, start: open }) => {
    it('lists and calls what its user may, in the client’s own revision, under a lease that goes with it', async () => {
      const client = await open(alex);
      expect(client.revision).toBe(speaks);
      expect(await client.list()).toEqual(ofAlex);
      const health = await client.call('coral_get_health');
      expect(health).toMatchObject({ refused: false, body: { status: 'no_data', data: { services: [] } } });
      for (const [tool, args] of [
        ['coral_query', { query: 'latency' }],
        ['coral_get_topology', {}],
        ['coral_query_events', {}],
      ] as const) {
        expect((await client.call(tool, args)).refused).toBe(false);
      }
      const listed = await alex.coral(['colony', 'ephemeral', 'list', '--json']);
      expect(JSON.parse(listed.stdout)).toMatchObject({ agents: [{ user_id: 'alex', purpose: 'coral mcp proxy' }] });
      await client[Symbol.asyncDispose]();
      expect(client.errors).toEqual([]);
      await until(async () => (await leases(colony, alex)).length === 0, 'the end of the lease', 10_000);
    });

    it('hears why a call is refused, and each is a row of the audit', async () => {
      await using client = await open(alex);
      await client.list();
      const before = (await colony.rowsOf('tool_call.outcome')).length;
      expect(await client.call('coral_fetch_live', live)).toMatchObject({
        refused: true,
        body: { error: { kind: 'permission_denied' } },
      });
      expect(await client.call('coral_query', { query: '' })).toMatchObject({
        refused: true,
        body: { error: { kind: 'invalid_argument' } },
      });
      await expect(client.call('coral_drop_tables')).rejects.toMatchObject({ code: -32_602 });
      const rows = (await colony.rowsOf('tool_call.outcome')).slice(before);
      expect(
        rows.map(({ user_id: user, payload }) => [
          user,
          payload['door'],
          payload['tool_name'],
          payload['error_reason'],
        ]),
      ).toEqual([
        ['alex', 'http', 'coral_fetch_live', 'missing_permission'],
        ['alex', 'http', 'coral_query', 'bad_argument'],
        ['alex', 'http', 'coral_drop_tables', 'unknown_tool'],
      ]);
    });

    it('is offered nothing when its user may do nothing', async () => {
      await using client = await open(sam);
      expect(await client.list()).toEqual([]);
      expect(await client.call('coral_get_health')).toMatchObject({
        refused: true,
        body: { error: { kind: 'permission_denied' } },
      });
    });

    it('loses no answer while one lease of two seconds after another ends under it', async () => {
      const granted = async () => (await colony.rowsOf('ephemeral.request_access')).length;
      const before = await granted();
      await using client = await open(alex, ['--ttl', '2s']);
      while ((await granted()) - before < 4) {
        const answers = await Promise.all([1, 2, 3].map(() => client.call('coral_get_health')));
        expect(answers.map(({ refused }) => refused)).toEqual([false, false, false]);
        expect((await leases(colony, alex)).length).toBeLessThanOrEqual(2);
      }
    });
  });

  it('offers all five tools to who may use all five: at most 1,000 tokens, and no drift', async () => {
    const proxied = start(robin);
    proxied.send(request(1, 'tools/list'));
    const { result } = (await proxied.answer(1)) as { result: { tools: object[] } };
    expect(result.tools).toHaveLength(5);
    expect(encode(JSON.stringify(result.tools)).length).toBeLessThanOrEqual(1_000);
    expect(result.tools).toMatchObject(toolDefinitions);
    expect(proxied.stderr).not.toContain('tool_drift');
  });

  it('tells a client that listens for changes that there will be none', async () => {
    const proxied = start(alex);
    proxied.send(request('l', 'subscriptions/listen', { notifications: { toolsListChanged: true } }));
    expect(await proxied.answer('l')).toMatchObject({ result: { resultType: 'complete' } });
    expect(proxied.messages[0]).toMatchObject({ method: 'notifications/subscriptions/acknowledged' });
  });

  it('asks for nothing before the first message, gives access back when idle, and asks again', async () => {
    const proxied = start(alex, ['--idle', '3s']);
    proxied.send('{broken');
    await proxied.until(() => proxied.lines[0]);
    expect(await leases(colony, alex)).toEqual([]);
    proxied.send(call(1));
    await proxied.answer(1);
    const [first] = await leases(colony, alex);
    await proxied.until(() => /given back/.exec(proxied.stderr) ?? undefined);
    await until(async () => (await leases(colony, alex)).length === 0, 'the end of the lease', 10_000);
    proxied.send(call(2));
    expect(await proxied.answer(2)).toMatchObject({ result: { isError: false } });
    const [second] = await leases(colony, alex);
    expect(second?.agentId).not.toBe(first?.agentId);
  });

  it.each<[string, (proxied: Proxied) => unknown, number]>([
    ['the end of input', ({ child }) => child.stdin.end(), 0],
    ['Ctrl-C', ({ child }) => child.kill('SIGINT'), 130],
    ['SIGTERM', ({ child }) => child.kill('SIGTERM'), 143],
    ['a client that reads no more', ({ child }) => child.stdout.destroy(), 141],
  ])('gives the lease back at %s', async (_name, stop, code) => {
    const proxied = start(alex);
    proxied.send(call(1));
    await proxied.answer(1);
    expect(await leases(colony, alex)).toHaveLength(1);
    stop(proxied);
    // Only who writes learns that nobody reads.
    if (code === 141) proxied.send(call(2));
    expect((await proxied.ended).code).toBe(code);
    expect(await leases(colony, alex)).toEqual([]);
  });

  it('finishes what is under way when the input ends', async () => {
    const proxied = start(alex);
    for (let i = 0; i < 20; i += 1) proxied.send(call(i, 'coral_query', { query: 'latency' }));
    proxied.child.stdin.end();
    expect((await proxied.ended).code).toBe(0);
    expect(proxied.messages.map(({ id }) => id).toSorted()).toEqual(Array.from({ length: 20 }, (_, i) => i).toSorted());
  });

  it('survives its colony: answers while it is away, and works when it is back', async () => {
    const proxied = start(alex);
    proxied.send(call('before'));
    expect(await proxied.answer('before')).toMatchObject({ result: { isError: false } });
    await colony.kill('SIGKILL');
    try {
      // The lease is still held, so this one has reached a colony before: it gets some time to come back.
      proxied.send(call('lost'));
      expect(await proxied.answer('lost')).toMatchObject({
        error: {
          code: -32_603,
          data: { error: { kind: 'unavailable', reason: 'colony_unreachable', next: expect.any(String) as string } },
        },
      });
      proxied.send(call('away'));
      expect(await proxied.answer('away')).toMatchObject({ error: { data: { error: { kind: 'unavailable' } } } });
    } finally {
      await colony.run();
    }
    proxied.send(call('after'));
    expect(await proxied.answer('after')).toMatchObject({ result: { isError: false } });
  });

  it('answers a call that was under way when its colony restarted', async () => {
    const proxied = start(alex);
    proxied.send(call(0));
    await proxied.answer(0);
    await colony.kill('SIGKILL');
    proxied.send(call(1), call(2));
    await proxied.until(() => (proxied.lines.length >= 1 ? true : undefined));
    await colony.run();
    expect(await proxied.answer(1)).toMatchObject({ result: { isError: false } });
    expect(await proxied.answer(2)).toMatchObject({ result: { isError: false } });
  });

  it('gets new access when its lease is revoked', async () => {
    const proxied = start(alex);
    proxied.send(call(1));
    await proxied.answer(1);
    const [first] = await leases(colony, alex);
    await release(colony, alex, first?.agentId ?? '');
    proxied.send(call(2));
    expect(await proxied.answer(2)).toMatchObject({ result: { isError: false } });
    expect((await leases(colony, alex)).map(({ agentId }) => agentId)).not.toContain(first?.agentId);
  });

  it('writes MCP and nothing else on standard output, whatever else happens in its process', async () => {
    const noise = join(alex.home, 'noise.mjs');
    await writeFile(
      noise,
      `process.on('SIGUSR2', () => {
        console.log('noise on stdout');
        process.stdout.write('more noise, and no end of line');
        process.emitWarning('a warning');
      });`,
    );
    const proxied = start(alex, [], { NODE_OPTIONS: `--import=${noise}` });
    proxied.send(
      'not json',
      '[]',
      '{"jsonrpc":"2.0","id":null,"method":"x"}',
      request(1, 'tools/list'),
      request(2, 'nothing/like/it'),
    );
    await Promise.all([proxied.answer(1), proxied.answer(2)]);
    proxied.child.kill('SIGUSR2');
    await proxied.until(() => /a warning/.exec(proxied.stderr) ?? undefined);
    expect(proxied.stderr).toContain('noise on stdout');
    proxied.send(call(3));
    await proxied.answer(3);
    proxied.child.stdin.end();
    const { code, stdout } = await proxied.ended;
    expect(code).toBe(0);
    expect(stdout.endsWith('\n')).toBe(true);
    for (const line of stdout.trimEnd().split('\n')) {
      const message = JSON.parse(line) as Json;
      expect(message).toMatchObject({ jsonrpc: '2.0' });
      expect('result' in message || 'error' in message).toBe(true);
    }
    expect(stdout.trimEnd().split('\n')).toHaveLength(6);
  });

  it('shows no credential to who looks at processes', async () => {
    const proxied = start(alex);
    proxied.send(call(1));
    await proxied.answer(1);
    const argv = await readFile(`/proc/${proxied.child.pid}/cmdline`, 'utf8');
    expect(argv).toContain('proxy');
    expect(argv).not.toContain('coral_pat_');
    expect(argv).not.toContain('eyJ');
  });

  it.each<[string, NodeJS.ProcessEnv, string[], number, string]>([
    ['no token', { CORAL_TOKEN: '' }, [], 78, 'secret'],
    ['a colony that is not configured', {}, ['--colony', 'nowhere'], 1, 'unknown_colony'],
    ['a lease of no time', {}, ['--ttl', 'soon'], 2, 'bad_duration'],
  ])('says on standard error what is wrong with %s, before any message', async (_name, env, args, code, reason) => {
    const proxied = start(alex, args, env);
    const ended = await proxied.ended;
    expect(ended).toMatchObject({ code, stdout: '' });
    expect(ended.stderr).toContain(reason);
  });

  it('passes on why a lease is refused, and stays', async () => {
    const proxied = start(alex, ['--ttl', '16m']);
    proxied.send(call(1));
    expect(await proxied.answer(1)).toMatchObject({
      error: { data: { error: { kind: 'invalid_argument', reason: 'bad_ttl' } } },
    });
    proxied.send(call(2));
    await proxied.answer(2);
  });

  describe('its neighbours for people and scripts', () => {
    it('coral mcp tools lists what one may call', async () => {
      const text = await alex.coral(['mcp', 'tools']);
      expect(text).toMatchObject({ code: 0, stderr: '' });
      expect(text.stdout).toMatch(/coral_query +query, \[scope\], \[time_range\]/);
      expect(text.stdout).not.toContain('coral_fetch_live');
      const json = JSON.parse((await robin.coral(['mcp', 'tools', '--json'])).stdout) as { tools: object[] };
      expect(json.tools).toMatchObject(toolDefinitions);
      expect(json.tools).toMatchObject([{ annotations: { readOnlyHint: true } }, {}, {}, {}, {}]);
    });

    it('coral mcp call prints the answer, or with --json the whole result', async () => {
      const words = await alex.coral(['mcp', 'call', 'coral_query', 'query=latency', 'time_range=15m']);
      expect(words.code).toBe(0);
      expect(JSON.parse(words.stdout) as ToolEnvelope).toMatchObject({ status: 'no_data', data: { kind: 'metrics' } });
      const args = ['--args', '{"query":"latency","time_range":"15m"}'];
      const whole = await alex.coral(['mcp', 'call', 'coral_query', ...args, '--json']);
      const result = JSON.parse(whole.stdout) as { content: { text: string }[]; structuredContent: object };
      expect(JSON.parse(result.content[0]?.text ?? '')).toEqual(result.structuredContent);
      expect(result).toMatchObject({ isError: false, structuredContent: { data: { kind: 'metrics' } } });
      expect(await leases(colony, alex)).toEqual([]);
    });

    it.each<[string, string[], number, string]>([
      ['a call one may not make', ['coral_fetch_live', 'agent_id=a', 'sql_query=SELECT 1'], 3, 'missing_permission'],
      ['an argument there is not', ['coral_get_health', 'service=x'], 2, 'unknown_argument'],
      ['a tool there is not', ['coral_nothing'], 1, 'unknown_tool'],
      ['arguments that are none', ['coral_query', 'latency'], 2, 'bad_tool_arguments'],
    ])('coral mcp call ends as the table says for %s', async (_name, words, code, reason) => {
      const done = await alex.coral(['mcp', 'call', ...words]);
      expect(done).toMatchObject({ code, stdout: '' });
      expect(done.stderr).toContain(`error: ${reason}:`);
    });

    it('coral mcp call --json prints a refusal as the result it is', async () => {
      const done = await alex.coral(['mcp', 'call', 'coral_get_health', 'service=x', '--json']);
      expect(done.code).toBe(2);
      expect(JSON.parse(done.stdout)).toMatchObject({
        isError: true,
        structuredContent: { error: { kind: 'invalid_argument' } },
      });
    });
  });
});
