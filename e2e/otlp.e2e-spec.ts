import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SpecColony } from '../apps/agent/src/spec-support/spec-colony.js';
import { AgentUnderTest } from './support/otlp-agent.js';
import { Load, spanBatch } from './support/otlp-load.js';

const kills = 20;

let home: string;
let colony: SpecColony;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'coral-e2e-'));
  colony = await SpecColony.start(home);
});
afterEach(async () => {
  await colony[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
});

const joining = () => ({ colony, joinToken: 'coral_join_spec' });

/** Ids of all spans the agent holds, asked the way the colony asks. */
async function storedIds(): Promise<string[]> {
  const ids: string[] = [];
  for (let last = ''; ; last = ids.at(-1) as string) {
    const page = await colony.ask(`SELECT span_id FROM spans WHERE span_id > '${last}' ORDER BY span_id LIMIT 10000`);
    const rows = JSON.parse(page.rowsJson.toString()) as [string][];
    if (rows.length === 0) return ids;
    ids.push(...rows.map(([id]) => id));
  }
}

async function post(agent: AgentUnderTest, body: string | Buffer, headers: Record<string, string> = {}) {
  return await fetch(`http://${agent.ready.otlp_http}/v1/traces`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : new Uint8Array(body),
  });
}

describe('an agent under load', () => {
  it(`killed ${kills} times loses no acknowledged span, and summarises each exactly once`, async () => {
    await using agent = await AgentUnderTest.start(joining());
    const load = new Load(() => agent.ready.otlp_http);
    let announced = 0;
    for (let round = 0; round < kills; round++) {
      // Sometimes right after a restart, sometimes in the middle of summaries and pushes.
      await load.more(1 + ((round * 7) % 40));
      await agent.end('SIGKILL');
      announced = colony.announced.length;
      await agent.run();
    }
    await load.more(20);
    await load.stop();
    expect(load.failures).toBeGreaterThan(0);

    await colony.until(() => colony.announced.length > announced);
    expect(await storedIds()).toEqual([...load.acknowledged].sort());
    await colony.until(() => colony.requests >= load.acknowledged.size);
    // Stopping summarises what is left, so a span counted twice would show now.
    expect(await agent.end('SIGTERM')).toBe(0);
    expect(colony.requests).toBe(load.acknowledged.size);
    expect(agent.logLines('data_loss')).toEqual([]);
    expect(colony.enrolled).toHaveLength(1);
  }, 400_000);

  it('on a full disk acknowledges nothing it cannot keep, and recovers alone', async () => {
    await using agent = await AgentUnderTest.start(joining());
    const load = new Load(() => agent.ready.otlp_http);
    await load.more(20);
    await agent.limitFileSize(4_096);
    const refused = spanBatch('cart', 50);
    const before = load.acknowledged.size;
    const response = await post(agent, refused.body);
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('2');
    const whileFull = load.acknowledged.size;
    await agent.limitFileSize('unlimited');
    await load.more(20);
    await load.stop();
    expect(load.failures).toBeGreaterThan(0);
    expect(load.acknowledged.size).toBeGreaterThan(Math.max(before, whileFull));

    const stored = await storedIds();
    expect(stored).toEqual(expect.arrayContaining([...load.acknowledged]));
    expect(agent.logLines('a commit failed').length).toBeGreaterThan(0);
    await agent.end('SIGTERM');
    expect(colony.requests).toBe(stored.length);
    expect(agent.logLines('data_loss')).toEqual([]);
  });

  it('is not grown by gzip bombs', async () => {
    await using agent = await AgentUnderTest.start(joining());
    expect((await post(agent, spanBatch('cart', 10).body)).status).toBe(200);
    const bomb = gzipSync(Buffer.alloc(1_000 * 1_048_576));
    const before = await agent.peakMemory();
    const answers = await Promise.all(
      Array.from({ length: 6 }, () => post(agent, bomb, { 'content-encoding': 'gzip' })),
    );
    // 429 when the budget of all requests in flight is the first to say no.
    for (const { status } of answers) expect([413, 429]).toContain(status);
    expect((await agent.peakMemory()) - before).toBeLessThan(250 * 1_048_576);
    expect((await post(agent, spanBatch('cart', 10).body)).status).toBe(200);
  });
});

describe('an agent that may not join', () => {
  it('ends with 78 and says what to do, without asking again and again', async () => {
    colony.joinTokens.clear();
    await using agent = await AgentUnderTest.prepare(joining());
    expect(await agent.runToEnd()).toBe(78);
    expect(agent.logLines('the agent cannot run')).toMatchObject([
      { reason: 'join_token_invalid', next: 'Ask for a new one.' },
    ]);
  });

  it('ends with 78 on a bad configuration, with the line', async () => {
    await using agent = await AgentUnderTest.prepare({ ...joining(), config: { retentions: {} } });
    expect(await agent.runToEnd()).toBe(78);
    expect(agent.log).toMatch(/agent\.yaml:\d+:\d+/);
    expect(agent.log).toContain('retention');
  });
});
