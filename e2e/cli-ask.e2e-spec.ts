import { readdir, readFile, stat, watch } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ColonyDouble } from '../apps/cli/src/testing/colony-double.js';
import { envelopeOf } from '../apps/cli/src/testing/envelopes.js';
import { end, hangingTool, Laptop, openDouble, unlessEnded } from './support/laptop.js';
import { ColonyUnderTest } from './support/start-colony.js';

describe('coral ask', () => {
  let colony: ColonyDouble;
  let laptop: Laptop;

  beforeEach(async () => {
    ({ colony, laptop } = await openDouble());
  });
  afterEach(async () => {
    await laptop[Symbol.asyncDispose]();
    await colony[Symbol.asyncDispose]();
  });

  it('answers from the tools, on stdout alone, and gives the lease back', async () => {
    const text = await laptop.coral(['ask', 'Is anything wrong?']);
    expect(text.code).toBe(0);
    expect(text.stdout.trim()).not.toBe('');
    expect(text.stderr).toContain('using the provider builtin');
    expect(text.stderr).toMatch(/\d+ tools? · 0 in \/ 0 out tokens · \$0\.00 · \d+\.\d s · lease eph-[a-z2-7]{16}\n$/);
    expect(colony.open).toEqual([]);
    const whole = await laptop.coral(['ask', 'Is anything wrong?', '--no-stream']);
    expect(whole.stdout).toBe(text.stdout);
  });

  it('prints one object for programs', async () => {
    const { code, stdout } = await laptop.coral(['ask', '-', '--json'], {}, 'Is anything wrong?');
    expect(code).toBe(0);
    const answer = JSON.parse(stdout) as Record<string, unknown>;
    expect(Object.keys(answer)).toEqual(
      expect.arrayContaining([
        'question',
        'answer',
        'verdict',
        'cause',
        'evidence',
        'tools',
        'usage',
        'cost_usd',
        'seconds',
        'coverage',
        'agent_id',
      ]),
    );
    expect(answer).toMatchObject({
      question: 'Is anything wrong?',
      cost_usd: 0,
      agent_id: colony.granted[0]?.agentId,
    });
  });

  it('keeps its transcript, and repeats it offline without talking to anybody', async () => {
    const asked = await laptop.coral(['ask', 'Is anything wrong?', '--transcript', join(laptop.home, 'mine.json')]);
    expect(asked.code).toBe(0);
    expect((await stat(join(laptop.home, 'mine.json'))).mode & 0o777).toBe(0o600);
    const directory = join(laptop.home, '.coral', 'transcripts');
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
    expect(await readdir(directory)).toHaveLength(1);
    expect(await readFile(join(laptop.home, 'mine.json'), 'utf8')).not.toContain(colony.apiToken);
    await colony[Symbol.asyncDispose]();
    const offline = await laptop.coral(['ask', 'is anything WRONG', '--offline']);
    expect(offline).toMatchObject({ code: 0, stdout: asked.stdout });
    expect(offline.stderr).toMatch(/^offline: asked .* at double; nothing was looked at now\n$/);
    colony = await ColonyDouble.start();
  });

  it('keeps what it had on Ctrl-C, gives the lease back and exits 130', async () => {
    const called = hangingTool(colony);
    const child = laptop.start(['ask', 'Is anything wrong?']);
    const ended = end(child);
    await unlessEnded(called, ended);
    child.kill('SIGINT');
    const { code, stderr } = await ended;
    expect(code).toBe(130);
    expect(stderr).not.toContain('error: ');
    expect(colony.open).toEqual([]);
  });

  it('gives the lease back when the reader of its output goes away', async () => {
    const child = laptop.start(['ask', 'Is anything wrong?']);
    child.stdout.destroy();
    const ended = end(child);
    await unlessEnded(colony.whenReleased(1), ended);
    expect((await ended).code).toBe(141);
    expect(colony.open).toEqual([]);
  });

  it('reconnects when its lease ends in the middle', async () => {
    let calls = 0;
    colony.tool = async ({ lease }) => {
      calls += 1;
      if (calls === 1) setImmediate(() => colony.endLease(lease));
      return envelopeOf({ services: [] });
    };
    const { code, stderr } = await laptop.coral(['ask', 'Is anything wrong?']);
    expect(code).toBe(0);
    expect(stderr.match(/Reconnecting…/g)).toHaveLength(1);
    expect(colony.granted).toHaveLength(2);
    expect(colony.open).toEqual([]);
  });
});

/** Resolves while the first tool call runs: its intent is on the disk, its outcome is not yet. */
async function firstIntent(colony: ColonyUnderTest): Promise<void> {
  for await (const _change of watch(colony.auditDirectory)) {
    if ((await colony.rowsOf('tool_call.intent')).length > 0) return;
  }
}

describe('coral ask and a real colony', () => {
  it('gets its answer although the colony is killed in the middle and comes back', async () => {
    await using undo = new AsyncDisposableStack();
    const colony = undo.use(await ColonyUnderTest.start({ config: { colony: { id: 'real' } } }));
    const { endpoint, ca_fingerprint } = colony.ready;
    const socket = join(colony.dataDirectory, 'admin.sock');
    const laptop = undo.use(await Laptop.open());
    const made = await laptop.coral(['colony', 'token', 'create', '--user', 'alex', '--admin-socket', socket]);
    const env = { CORAL_TOKEN: made.stdout.trim() };
    await laptop.configure({ id: 'real', endpoint, ca_fingerprint });
    // The next start takes the port that this one was given.
    await colony.configure({ colony: { id: 'real' }, listen: endpoint });

    const intent = firstIntent(colony);
    let running = true;
    const ended = laptop.coral(['ask', 'Is anything wrong?'], env).finally(() => (running = false));
    await unlessEnded(intent, ended);
    await colony.kill('SIGKILL');
    expect(running).toBe(true);
    await colony.run();
    const { code, stdout, stderr } = await ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining(' · lease eph-') });
    expect(stdout).not.toContain('Not complete');
    await colony.mustVerify();
    const released = await colony.rowsOf('ephemeral.release_access');
    expect(released.length).toBeGreaterThan(0);
  });
});
