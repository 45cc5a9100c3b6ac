import { ModelScript } from '@coral/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { apiFaults, elsewhere } from './model-faults/api-faults.js';
import { replyFaults } from './model-faults/reply-faults.js';
import type { Ending } from './model-faults/row.js';
import { AskedSystem, modelKey, wires, type AnswerJson, type Asked } from './support/models.js';

const table = [...apiFaults, ...replyFaults];

describe('a model that goes wrong', () => {
  const undo = new AsyncDisposableStack();
  let house: AskedSystem;
  const leases: string[] = [];

  beforeAll(async () => {
    undo.use(elsewhere);
    await elsewhere.start();
    house = undo.use(await AskedSystem.open());
  });
  afterAll(() => undo.disposeAsync());

  /** Each row is asked for programs over one of the wires, each time another, and for people over the others. */
  const cases = table.flatMap((row, i) =>
    wires
      .map((wire, j) => ({ what: row.what, on: wire.name, row, wire, turn: (i + j) % wires.length }))
      .filter(({ turn }) => row.early === undefined || turn === i % 2),
  );

  it.concurrent.each(cases)('with $what, over $on', async ({ row, wire, turn }) => {
    const { ai = {}, budget = {}, ends, more } = row;
    const script = new ModelScript(typeof row.steps === 'function' ? row.steps(wire) : row.steps, true);
    await using laptop = await house.laptop({ wire, script, ai, budget });
    const asJson = turn === 0;
    const asked = await laptop.ask('Is anything wrong?', ...(asJson ? ['--json'] : []));
    leases.push(asked.agentId);

    expect(asked.code, asked.stderr).toBe(ends.code);
    const answer = asJson ? asked.json.answer : asked.stdout.trimEnd().replaceAll(/ +$/gm, '');
    expect(answer).toEqual(typeof ends.answer === 'string' ? ends.answer : expect.stringMatching(ends.answer));
    expect(asJson ? footerOf(asked.json) : asked.footer).toMatch(row.footer);
    if (asJson) checkJson(asked, ends);
    else checkError(asked, ends);

    expect(laptop.server.requests).toHaveLength(row.requests);
    expect(laptop.server.refusals).toEqual([]);
    expect(laptop.detour.strangers).toEqual([]);
    for (const said of [asked.stdout, asked.stderr]) {
      expect(said).not.toContain(modelKey);
      expect(said).not.toMatch(/^\s+at .*:\d+/m);
    }
    const rows = (await house.audit()).filter(({ agent_id: id }) => id === asked.agentId);
    expect(rows.at(-1)).toMatchObject({ kind: 'ephemeral.release_access', payload: { cause: 'released' } });
    more?.({ asked, answer, script, calls: rows.filter(({ kind }) => kind.startsWith('tool_call.')) });
  });

  it('sends its key nowhere else', () => {
    expect(elsewhere.requests).toEqual([]);
  });

  it('costs no lease', async () => {
    expect(new Set(leases).size).toBe(cases.length);
    expect(await house.leases()).toEqual([]);
  });
});

/** After what it took, the error: why and what to do next; nothing follows. */
function checkError({ footer, stderr }: Asked, { code, reason }: Ending): void {
  const [, after = ''] = stderr.split(footer);
  if (code === 5) expect(after).toMatch(new RegExp(`^\\nerror: ${reason}: .+\\n(where: .+\\n)?next: .+\\n$`));
  else expect(after).toBe('\n');
}

/** One object on stdout with the answer so far and the error, and the error alone on stderr. */
function checkJson({ json, stderr }: Asked, { code, reason }: Ending): void {
  expect(json.partial).toBe(code !== 0);
  expect(json.partial_reason).toBe(code === 5 ? 'provider_failed' : reason);
  const words = { message: expect.any(String), next: expect.any(String) };
  const error = code === 5 ? { kind: 'provider_failed', reason, ...words } : undefined;
  if (error === undefined) expect(json).not.toHaveProperty('error');
  else expect(json.error).toMatchObject(error);
  const last = stderr.trimEnd().split('\n').at(-1) ?? '';
  if (error === undefined) expect(last).not.toMatch(/^\{/);
  else expect(JSON.parse(last)).toMatchObject({ error, exit_code: code });
}

/** What people would read. */
function footerOf({ tools, usage, cost_usd: cost }: AnswerJson): string {
  const short = (n = 0): string => (n < 1_000 ? String(n) : `${(n / 1_000).toFixed(1)}k`);
  const tokens = `${short(usage['input_tokens'])} in / ${short(usage['output_tokens'])} out tokens`;
  const dollars = cost === null ? 'cost unknown' : `$${cost.toFixed(cost === 0 ? 2 : 4)}`;
  return `${tools.length} tool${tools.length === 1 ? '' : 's'} · ${tokens} · ${dollars} · `;
}
