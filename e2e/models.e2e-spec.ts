import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AuditRow } from '@coral/audit';
import { callTools, ModelScript, say, type ScriptedReply, type ScriptStep } from '@coral/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { end, unlessEnded } from './support/laptop.js';
import { Asked, AskedSystem, modelKey, query, rowsRead, wires, type Wire } from './support/models.js';
import { until } from './support/until.js';

/** Thinks, then calls two tools at once. */
const lookTwice: ScriptedReply = {
  parts: [
    { think: ['Which service ', 'is slow?'] },
    { call: 'coral_get_health' },
    { call: 'coral_query', args: { query } },
  ],
  usage: { input: 2_000, output: 100, cacheRead: 400 },
};

/** Says what stands in the result: a model that reads. */
const readP95: ScriptStep = (request) => {
  const row = rowsRead(request).find(({ service }) => service === 'payment');
  const reply = say('The slowest is `payment`, ', `with a p95 of ${row?.p95_ms} ms.`, '\nVERDICT: CONFIRMED');
  return { ...reply, usage: { input: 3_000, output: 40 } };
};

const never = new Promise<void>(() => undefined);
const invented = say('`billing-db` takes 777.25 ms, ', 'since 03:17.', '\nVERDICT: CONFIRMED');
const calm = say('Nothing stands out. ', 'VERDICT: INCONCLUSIVE');

describe('coral ask with a model', () => {
  let house: AskedSystem;

  beforeAll(async () => {
    house = await AskedSystem.open();
  });
  afterAll(() => house?.[Symbol.asyncDispose]());

  const rowsOf = async (agentId: string): Promise<AuditRow[]> =>
    (await house.audit()).filter((row) => row.agent_id === agentId);

  describe.concurrent.each(wires)('over $name', (wire) => {
    /** The server counts what it read from its cache apart, or within. */
    const usage = {
      input_tokens: wire.name === 'anthropic' ? 5_400 : 5_000,
      output_tokens: 140,
      cache_read_tokens: 400,
    };
    const [input, output, cached] = [2, 10, 0.1];
    const costUsd = ((usage.input_tokens - 400) * input + 140 * output + 400 * cached) / 1_000_000;

    it('thinks, calls two tools at once and answers with a number of theirs, for people and for programs', async () => {
      const script = new ModelScript([lookTwice, readP95, lookTwice, readP95]);
      await using laptop = await house.laptop({ wire, script, user: 'alex' });
      const { p95_ms: p95 } = house.payment;
      expect(p95).toBeGreaterThan(50);
      const answer = `The slowest is \`payment\`, with a p95 of ${p95} ms.\nVERDICT: CONFIRMED`;

      const text = await laptop.ask('Which service is slow?');
      expect(text, text.stderr).toMatchObject({ code: 0, stdout: `${answer}\n` });
      expect(text.stderr).not.toContain('In no tool result');
      expect(text.stderr).toContain(`${wire.ai.provider} (${wire.host}) sees your question and the telemetry`);
      const tokens = `${(usage.input_tokens / 1_000).toFixed(1)}k in (400 cached) / 140 out tokens`;
      expect(text.footer).toContain(`2 tools · ${tokens} · $${costUsd.toFixed(4)} · `);

      const { code, json, stderr } = await laptop.ask('Which service is slow?', '--json');
      expect(code, stderr).toBe(0);
      expect(json).toMatchObject({ answer, verdict: 'CONFIRMED', usage, unsupported: [], partial: false });
      expect(json.tools.map(({ name, is_error: isError }) => [name, isError]).toSorted()).toEqual([
        ['coral_get_health', false],
        ['coral_query', false],
      ]);
      expect(json.cost_usd).toBeCloseTo(costUsd, 9);
      // Said once, also to programs.
      expect(stderr).not.toContain('sees your question');

      // Signed thinking went back as it came, each call had its outcome: else the server had refused.
      expect(laptop.server.refusals).toEqual([]);
      expect(laptop.server.requests).toHaveLength(4);
      expect(laptop.detour.strangers).toEqual([]);
      expect(json.agent_id).not.toBe(text.agentId);
      for (const agentId of [text.agentId, json.agent_id]) {
        const rows = await rowsOf(agentId);
        const calls = rows.filter(({ kind }) => kind === 'tool_call.intent');
        expect(calls.map(({ payload }) => payload['tool_name']).toSorted()).toEqual([
          'coral_get_health',
          'coral_query',
        ]);
        expect(new Set(rows.map((row) => row.user_id))).toEqual(new Set(['alex']));
        expect(rows.at(-1)).toMatchObject({ kind: 'ephemeral.release_access', payload: { cause: 'released' } });
      }
    });

    it('shows the answer as it comes', async () => {
      const { promise: released, resolve: release } = Promise.withResolvers<void>();
      const script = new ModelScript([
        { ...say('First words, ', 'last words.'), hold: { in: 'text', until: released } },
      ]);
      await using laptop = await house.laptop({ wire, script, budget: { max_seconds: 40 } });
      const child = laptop.start('Is anything wrong?');
      const ended = end(child);
      const [shown] = (await unlessEnded(once(child.stdout, 'data'), ended)) as [Buffer];
      expect(shown.toString()).toBe('First words, ');
      release();
      expect(await ended).toMatchObject({ code: 0, stdout: 'First words, last words.\n' });
    });

    it('shows the answer whole when it is told to', async () => {
      const script = new ModelScript([
        { parts: [{ say: 'Let me look. ' }, { call: 'coral_get_health' }] },
        say('All ', 'is ', 'well.'),
      ]);
      await using laptop = await house.laptop({ wire, script });
      const child = laptop.start('Is anything wrong?', '--no-stream');
      const pieces: string[] = [];
      child.stdout.on('data', (piece: Buffer) => pieces.push(piece.toString()));
      const ended = end(child);
      // It has read the first reply by now.
      await unlessEnded(laptop.server.request(2), ended);
      expect(pieces).toEqual([]);
      expect(await ended).toMatchObject({ code: 0, stdout: 'All is well.\n' });
    });

    it('marks what the model made up, and believes it less', async () => {
      const script = new ModelScript([lookTwice, invented]);
      await using laptop = await house.laptop({ wire, script });
      const asked = await laptop.ask('Which service is slow?', '--transcript', 'asked.json');
      expect(asked, asked.stderr).toMatchObject({ code: 0, stdout: expect.stringContaining('VERDICT: CONFIRMED\n') });
      const marked = /^In no tool result: (.*)$/m.exec(asked.stderr)?.[1]?.split(', ').toSorted();
      expect(marked).toEqual(['03:17', '777.25 ms', 'billing-db']);
      const transcript = JSON.parse(await readFile(join(laptop.home, 'asked.json'), 'utf8')) as object;
      expect(transcript).toMatchObject({ verdict: 'LIKELY' });
    });

    it('offers the tools that the user may call, and tells of no others', async () => {
      const script = new ModelScript([callTools(['coral_query', { query }]), calm]);
      await using laptop = await house.laptop({ wire, script, user: 'sam' });
      const asked = await laptop.ask('Which service is slow?', '--json');
      expect(asked.code, asked.stderr).toBe(0);
      expect(asked.json.tools).toEqual([]);
      const [first, second] = script.seen;
      expect(first?.tools).toEqual(['coral_get_health']);
      expect(
        JSON.stringify(first?.body)
          .match(/coral_\w+/g)
          ?.every((name) => name === 'coral_get_health'),
      ).toBe(true);
      expect(second?.results).toMatchObject([
        { name: 'coral_query', text: expect.stringContaining('There is no tool') },
      ]);
      const rows = await rowsOf(asked.agentId);
      expect(rows.filter(({ kind }) => kind.startsWith('tool_call.'))).toEqual([]);
    });

    it('goes to another provider when --model says so, with the key of that one alone', async () => {
      const other = wires.find(({ ai }) => ai.provider !== wire.ai.provider) ?? wire;
      const otherKey = 'sk-other-8d21';
      const script = new ModelScript([calm, calm]);
      await using there = await other.open(script, otherKey);
      await using laptop = await house.laptop({
        wire,
        script: new ModelScript([]),
        routes: { [other.host]: there.url },
        env: { [other.keyVariable]: otherKey },
      });
      const unheardOf = await laptop.ask('Is anything wrong?', '--model', `${other.ai.provider}:made-up-1`);
      const telling = await laptop.ask('Is anything wrong?', '--model', other.ai.model);
      for (const asked of [unheardOf, telling]) {
        expect(asked, asked.stderr).toMatchObject({ code: 0, stdout: expect.stringContaining('Nothing stands out.') });
      }
      // What a model costs is never guessed.
      expect(unheardOf.footer).toContain(' · cost unknown · ');
      expect(unheardOf.stderr).toContain('The price of made-up-1 is not known');
      expect(telling.footer).toMatch(/ · \$0\.00\d\d · /);
      expect(script.seen.map(({ model }) => model)).toEqual(['made-up-1', other.ai.model]);
      expect(JSON.stringify(there.requests)).not.toContain(modelKey);
      expect(laptop.server.requests).toEqual([]);
    });

    it('gets a new lease when the old one ends in the middle of an answer', async () => {
      let first: string | undefined;
      // Nobody else asks for this: its row tells the lease.
      const own = `throughput of payment, last ${20 + wires.indexOf(wire)}m`;
      const isOwn = (row: AuditRow): boolean =>
        (row.payload['tool_args'] as { query?: string } | undefined)?.query === own;
      const script = new ModelScript([
        callTools(['coral_query', { query: own }]),
        async () => {
          const lease = (await house.audit()).find(isOwn)?.agent_id ?? 'none';
          first = lease;
          const isOver = async () => (await rowsOf(lease)).some(({ kind }) => kind === 'ephemeral.expired');
          await until(isOver, 'the end of the lease');
          return lookTwice;
        },
        readP95,
      ]);
      await using laptop = await house.laptop({ wire, script });
      const asked = await laptop.ask('Which service is slow?', '--ephemeral-ttl', '5s');
      expect(asked, asked.stderr).toMatchObject({
        code: 0,
        stdout: expect.stringMatching(/p95 of [\d.]+ ms\.\nVERDICT/),
      });
      expect(asked.stderr.match(/^Reconnecting…$/gm)).toHaveLength(1);
      expect(asked.agentId).not.toBe(first);
      expect((await rowsOf(asked.agentId)).filter(({ kind }) => kind === 'tool_call.intent')).toHaveLength(2);
    });

    it('keeps what was said on Ctrl-C, hangs up on the model and gives the lease back', async () => {
      const script = new ModelScript([
        callTools(['coral_get_health']),
        { ...say('Health is fine, ', 'and so on.'), hold: { in: 'text', until: never } },
      ]);
      await using laptop = await house.laptop({ wire, script, budget: { max_seconds: 40 } });
      const child = laptop.start('Is anything wrong?');
      const ended = end(child);
      await unlessEnded(once(child.stdout, 'data'), ended);
      child.kill('SIGINT');
      const asked = new Asked(await ended);
      expect(asked).toMatchObject({ code: 130, stdout: 'Health is fine, \n[Not complete: it was cancelled.]\n' });
      expect(asked.footer).toMatch(/^1 tool · /);
      expect(asked.stderr).not.toContain('error:');
      expect(await (await laptop.server.request(2)).over).toBe(false);
      expect((await rowsOf(asked.agentId)).at(-1)).toMatchObject({ kind: 'ephemeral.release_access' });
    });
  });

  const look: ScriptedReply = { ...callTools(['coral_get_health']), usage: { input: 1_000, output: 100 } };
  const answer = say('So far ', 'so good.');
  const limits = [
    { limit: 'steps', budget: { max_steps: 2 }, words: '2 steps', steps: [look, answer] },
    { limit: 'tool_calls', budget: { max_tool_calls: 1 }, words: '1 tool calls', steps: [look, answer] },
    { limit: 'tokens', budget: { max_tokens: 2_000 }, words: '2000 tokens', steps: [look, answer] },
    { limit: 'money', budget: { max_usd: 0.005 }, words: '$0.005', steps: [look, answer] },
    {
      limit: 'seconds',
      budget: { max_seconds: 3 },
      words: '3 s',
      steps: [{ ...answer, hold: { in: 'text', until: never } }],
    },
  ] as const;
  // Limits are the loop's; each is shown over another wire.
  it.concurrent.each(limits.map((limit, i) => ({ ...limit, wire: wires[i % wires.length] as Wire })))(
    'ends at the limit of $limit with what there is',
    async ({ wire, limit, budget, words, steps }) => {
      const script = new ModelScript(steps);
      await using laptop = await house.laptop({ wire, script, budget });
      const asked = await laptop.ask('Is anything wrong?');
      expect(asked.code, asked.stderr).toBe(8);
      expect(asked.stdout).toMatch(/^So far (so good\.)?\n/);
      expect(asked.stdout).toContain(`\n[Not complete: the limit of ${words} was reached.]\n`);
      expect(laptop.server.refusals).toEqual([]);
      // The last request is for the answer: no tool may be called any more.
      if (limit !== 'seconds') expect(script.seen.at(-1)?.tools).toEqual([]);
      expect((await rowsOf(asked.agentId)).at(-1)).toMatchObject({ kind: 'ephemeral.release_access' });
    },
  );

  it('leaves no lease behind', async () => {
    expect(await house.leases()).toEqual([]);
  });
});
