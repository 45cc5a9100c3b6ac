import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AuditLog } from '@coral/audit';
import { CoralError } from '@coral/errors';
import { systemClock } from '@coral/model';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ColonyDouble } from '../apps/cli/src/testing/colony-double.js';
import { envelopeOf } from '../apps/cli/src/testing/envelopes.js';
import { projectRoot } from '../scripts/demo/processes.js';

const binary = join(projectRoot, 'bin', 'coral');

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

describe('the built coral', () => {
  let colony: ColonyDouble;
  let home: string;
  let env: NodeJS.ProcessEnv;

  beforeEach(async () => {
    colony = await ColonyDouble.start();
    home = await mkdtemp(join(tmpdir(), 'coral-cli-'));
    env = { PATH: process.env['PATH'], HOME: home, CORAL_TOKEN: colony.apiToken };
    await configure();
    colony.tool = async () => envelopeOf({ services: [] });
  });
  afterEach(async () => {
    await colony[Symbol.asyncDispose]();
    await rm(home, { recursive: true });
  });

  const config = () => join(home, '.coral', 'config.yaml');
  const configure = async (more = '') => {
    await mkdir(join(home, '.coral'), { recursive: true, mode: 0o700 });
    const { id, endpoint, ca_fingerprint: fingerprint } = colony.entry;
    const entry = `{id: ${id}, endpoint: "${endpoint}", ca_fingerprint: "${fingerprint}", token: "env://CORAL_TOKEN"}`;
    await writeFile(config(), `colonies: [${entry}]\n${more}`, { mode: 0o600 });
  };
  const start = (args: string[], more: NodeJS.ProcessEnv = {}, command = binary): ChildProcessWithoutNullStreams =>
    spawn(command, args, { env: { ...env, ...more }, cwd: home, stdio: 'pipe' });
  const end = (child: ChildProcessWithoutNullStreams): Promise<Ended> =>
    new Promise((resolve, reject) => {
      const ended: Ended = { code: null, stdout: '', stderr: '' };
      child.stdout.on('data', (chunk: Buffer) => (ended.stdout += chunk.toString()));
      child.stderr.on('data', (chunk: Buffer) => (ended.stderr += chunk.toString()));
      child.once('error', reject);
      child.once('close', (code) => resolve({ ...ended, code }));
    });
  const coral = (args: string[], more?: NodeJS.ProcessEnv, stdin = ''): Promise<Ended> => {
    const child = start(args, more);
    child.stdin.end(stdin);
    return end(child);
  };
  /** Waits for something that only a running child can bring. */
  const unlessEnded = (wanted: Promise<unknown>, ended: Promise<Ended>) =>
    Promise.race([
      wanted,
      ended.then(({ code, stderr }) => {
        throw new Error(`it ended with ${code} before that: ${stderr}`);
      }),
    ]);
  /** The next call of a tool; it is answered when the client goes away. */
  const hangingTool = () =>
    new Promise<void>((resolve) => {
      colony.tool = ({ signal }) => {
        resolve();
        return new Promise((answer) => signal.addEventListener('abort', () => answer(envelopeOf({ services: [] }))));
      };
    });

  it('runs from anywhere and through links', async () => {
    await symlink(binary, join(home, 'first'));
    await symlink('first', join(home, 'second'));
    const child = start(['--version'], {}, join(home, 'second'));
    expect(await end(child)).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^coral\/\d+\.\d+\.\d+ .* node-v2[4-9]/),
    });
  });

  it('ends without a word when nobody reads its output', async () => {
    const child = start(['colony', 'list']);
    child.stdout.destroy();
    expect(await end(child)).toMatchObject({ code: 141, stderr: '' });
  });

  it('says in one line that a Node is too old, and exits 78', async () => {
    const elsewhere = join(home, 'checkout', 'bin');
    await mkdir(elsewhere, { recursive: true });
    await copyFile(binary, join(elsewhere, 'coral'));
    const old = join(home, 'old');
    await mkdir(old);
    await writeFile(join(old, 'node'), '#!/bin/sh\necho v20.20.2\n');
    await chmod(join(old, 'node'), 0o755);
    const PATH = `${old}:/usr/bin:/bin`;
    const { code, stderr } = await end(start(['ask', 'x'], { PATH }, join(elsewhere, 'coral')));
    expect({ code, stderr }).toEqual({
      code: 78,
      stderr: `coral: found Node.js v20.20.2 at ${old}/node; it needs Node.js 24 or newer.\n`,
    });
  });

  describe('faults: input, reason, exit code, next step', () => {
    const faults: [
      string,
      { args: string[]; env?: NodeJS.ProcessEnv; before?: () => Promise<unknown> },
      string,
      number,
      RegExp,
    ][] = [
      ['no question', { args: ['ask'] }, 'no_question', 2, /coral ask -/],
      ['an empty question', { args: ['ask', ''] }, 'empty_question', 2, /coral ask "/],
      ['a question of 100 kB', { args: ['ask', 'x'.repeat(100_000)] }, 'question_too_long', 2, /fewer words/],
      ['nothing on stdin', { args: ['ask', '-'] }, 'empty_question', 2, /coral ask "/],
      ['an unknown command', { args: ['helth'] }, 'unknown_command', 2, /coral health/],
      ['an unknown flag', { args: ['ask', 'x', '--modle', 'y'] }, 'usage', 2, /--model/],
      ['a missing argument', { args: ['query'] }, 'usage', 2, /coral query --help/],
      ['an unknown colony', { args: ['health', '--colony', 'doubel'] }, 'unknown_colony', 1, /double/],
      ['a TTL that is none', { args: ['health', '--ephemeral-ttl', 'soon'] }, 'bad_duration', 2, /5m/],
      ['a TTL of 0', { args: ['health', '--ephemeral-ttl', '0s'] }, 'bad_ttl', 2, /^/],
      ['a TTL of -1', { args: ['health', '--ephemeral-ttl=-1'] }, 'bad_duration', 2, /5m/],
      [
        'a config others can read',
        { args: ['health'], before: () => chmod(config(), 0o644) },
        'config_not_private',
        78,
        /chmod 600/,
      ],
      ['a config that is a link', { args: ['health'], before: () => linked() }, 'config_not_private', 78, /0600/],
      ['malformed YAML', { args: ['health'], before: () => configure('ai: {') }, 'bad_config', 78, /config\.yaml/],
      [
        'an unknown key',
        { args: ['health'], before: () => configure('ephemral: {}\n') },
        'bad_config',
        78,
        /config\.yaml/,
      ],
      ['an unset reference', { args: ['health'], env: { CORAL_TOKEN: '' } }, 'secret_unset', 78, /CORAL_TOKEN/],
      ['a wrong token', { args: ['health'], env: { CORAL_TOKEN: 'coral_pat_x_y' } }, 'token_invalid', 4, /^/],
      ['no colony', { args: ['health'], before: () => rm(config()) }, 'no_colony', 78, /coral colony add/],
      ['a wrong CA', { args: ['health'], before: () => repin('0'.repeat(64)) }, 'wrong_ca', 4, /fingerprint/],
      [
        'a fourth lease',
        { args: ['health'], before: async () => refuse('resource_exhausted', 'too_many_leases') },
        'too_many_leases',
        1,
        /^/,
      ],
      ['an unusable provider', { args: ['ask', 'x', '--model', 'anthropic'] }, 'provider_unusable', 78, /builtin/],
      [
        'the key of a provider unset',
        { args: ['ask', 'x'], before: () => configure('ai: {provider: openai, api_key: "env://UNSET"}\n') },
        'secret_unset',
        78,
        /UNSET/,
      ],
      [
        'offline with a provider elsewhere',
        { args: ['ask', 'x', '--offline', '--model', 'google'] },
        'provider_not_local',
        78,
        /builtin/,
      ],
      ['offline without a transcript', { args: ['ask', 'x', '--offline'] }, 'nothing_offline', 1, /without --offline/],
      [
        'a token as an argument',
        {
          args: [
            'colony',
            'add',
            'a',
            'h:1',
            '--ca-fingerprint',
            `sha256:${'0'.repeat(64)}`,
            '--token',
            'coral_pat_a_b',
          ],
        },
        'secret_in_arguments',
        2,
        /env:/,
      ],
      ['no admin socket', { args: ['agent', 'list'] }, 'no_admin_socket', 6, /--admin-socket/],
    ];
    const linked = async () => {
      await writeFile(join(home, 'real.yaml'), 'colonies: []\n', { mode: 0o600 });
      await rm(config());
      await symlink(join(home, 'real.yaml'), config());
    };
    const repin = async (hex: string) => {
      const text = await readFile(config(), 'utf8');
      await writeFile(config(), text.replace(/sha256:[0-9a-f]+/, `sha256:${hex}`));
    };
    const refuse = (kind: 'resource_exhausted', reason: string) => {
      colony.refuseAccess = new CoralError({ kind, reason, message: 'You hold 3 leases.' });
    };

    it.each(faults)('%s', async (_what, { args, env: more, before }, reason, code, next) => {
      await before?.();
      const text = await coral(args, more);
      expect(text.stderr).toMatch(new RegExp(`^error: ${reason}: `, 'm'));
      expect(text.code).toBe(code);
      expect(/^next: (.*)/ms.exec(text.stderr)?.[1] ?? '').toMatch(next);
      expect(text.stdout).toBe('');
      expect(text.stderr).not.toMatch(/^\s+at /m);
      const json = await coral([...args, '--json'], more);
      expect(json.code).toBe(code);
      const last = json.stderr.trim().split('\n').at(-1) ?? '';
      expect(JSON.parse(last)).toMatchObject({ error: { reason }, exit_code: code });
      expect(colony.open).toEqual([]);
    });
  });

  it('calls a tool, prints its table, and gives the lease back', async () => {
    const { code, stdout, stderr } = await coral(['health']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('2026-11-21 10:00:00 to 11:00:00 UTC (1h)');
    expect(colony.granted).toMatchObject([{ purpose: 'coral health', ttlMs: 300_000 }]);
    expect(colony.open).toEqual([]);
  });

  it('mirrors the arguments of every tool', async () => {
    await coral(['query', 'latency', '--scope', 'web', '--time-range', '2h', '--json']);
    await coral(['live', 'agt-a', 'SELECT 1', '--json']);
    await coral(['topology', '--format', 'graphviz', '--time-range', '2h', '--json']);
    await coral(['events', '--event-type', 'deploy', '--service', 'web', '--time-range', '2h', '--json']);
    await coral(['health', '--service-filter', 'we*', '--json']);
    expect(colony.calls.map(({ name, args }) => ({ name, args }))).toEqual([
      { name: 'coral_query', args: { query: 'latency', scope: 'web', time_range: '2h' } },
      { name: 'coral_fetch_live', args: { agent_id: 'agt-a', sql_query: 'SELECT 1' } },
      { name: 'coral_get_topology', args: { format: 'graphviz', time_range: '2h' } },
      { name: 'coral_query_events', args: { event_type: 'deploy', service: 'web', time_range: '2h' } },
      { name: 'coral_get_health', args: { service_filter: 'we*' } },
    ]);
    expect(colony.open).toEqual([]);
  });

  it('exits 8 when agents were silent, and names them', async () => {
    const coverage = { asked: 2, answered: ['agt-a'], late: [], silent: ['agt-b'], denied: [] };
    colony.tool = async () => envelopeOf({ services: [] }, { coverage });
    const text = await coral(['health']);
    expect(text.code).toBe(8);
    expect(text.stdout).toContain('Partial: 1 of 2 agents answered; silent: agt-b.');
    const json = await coral(['health', '--json']);
    expect(json.code).toBe(8);
    expect(JSON.parse(json.stdout)).toMatchObject({ coverage });
  });

  it('exits 3 when a tool is denied, with what is missing', async () => {
    const error = {
      kind: 'permission_denied',
      reason: 'missing_permission',
      message: 'You lack read:health.',
      next: 'Ask the platform team.',
    };
    colony.tool = async () => ({ error });
    expect(await coral(['health'])).toMatchObject({
      code: 3,
      stderr: 'error: missing_permission: You lack read:health.\nnext: Ask the platform team.\n',
    });
  });

  it('prints no escape sequence, whatever the services are called', async () => {
    const data = {
      services: [
        {
          service: 'a\u001b]0;owned\u0007',
          status: 'down' as const,
          reason: '\u202e',
          last_seen: null,
          requests_per_s: 0,
          error_rate: 0,
          p95_ms: null,
          reference: null,
        },
      ],
    };
    colony.tool = async () => envelopeOf(data);
    const outputs = [await coral(['health']), await coral(['--help']), await coral(['health', '--nope'])];
    // oxlint-disable-next-line no-control-regex
    for (const { stdout, stderr } of outputs) expect(stdout + stderr).not.toMatch(/[\u001b\u0007\u202e]/);
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('gives the lease back on %s and exits %i', async (signal, code) => {
    const called = hangingTool();
    const child = start(['health']);
    const ended = end(child);
    await unlessEnded(called, ended);
    child.kill(signal);
    expect((await ended).code).toBe(code);
    expect(colony.open).toEqual([]);
    expect(colony.released).toHaveLength(1);
  });

  it('leaves at once on the second Ctrl-C', async () => {
    const granted = new Promise<void>((resolve) => {
      colony.onGranted = () => resolve();
    });
    const called = hangingTool();
    const child = start(['health']);
    const ended = end(child);
    await unlessEnded(Promise.all([granted, called]), ended);
    const before = performance.now();
    child.kill('SIGINT');
    child.kill('SIGINT');
    expect((await ended).code).toBe(130);
    expect(performance.now() - before).toBeLessThan(2_000);
  });

  it('keeps the lease until its TTL when auto_cleanup is off', async () => {
    await configure('ephemeral: {auto_cleanup: false, default_ttl: 2m}\n');
    expect((await coral(['health'])).code).toBe(0);
    expect(colony.granted).toMatchObject([{ ttlMs: 120_000 }]);
    expect(colony.released).toEqual([]);
  });

  it('adds, lists and uses colonies, keeping a piped token to itself', async () => {
    await rm(config());
    const { endpoint, fingerprint } = colony;
    const add = ['colony', 'add', 'double', endpoint, '--ca-fingerprint', fingerprint];
    const added = await coral(add, {}, `${colony.apiToken}\n`);
    expect(added).toMatchObject({ code: 0, stdout: '' });
    expect(added.stderr).toContain('you are alex (read:metrics)');
    const kept = join(home, '.coral', 'credentials.yaml');
    expect((await stat(kept)).mode & 0o777).toBe(0o600);
    expect((await stat(config())).mode & 0o777).toBe(0o600);
    expect(await readFile(config(), 'utf8')).not.toContain('coral_pat');
    expect((await coral(['health'])).code).toBe(0);
    expect((await coral(['colony', 'list'])).stdout).toContain('double');
    expect((await coral(['colony', 'use', 'double'])).code).toBe(0);
    const wrongName = await coral(
      ['colony', 'add', 'other', endpoint, '--ca-fingerprint', fingerprint],
      {},
      colony.apiToken,
    );
    expect(wrongName).toMatchObject({ code: 2, stderr: expect.stringContaining('error: other_colony: ') });
    const wrongToken = await coral(
      ['colony', 'add', 'double', endpoint, '--ca-fingerprint', fingerprint],
      {},
      'nonsense',
    );
    expect(wrongToken.code).toBe(4);
    expect(await readFile(kept, 'utf8')).toContain(colony.apiToken);
  });

  it('lists live leases', async () => {
    await configure('ephemeral: {auto_cleanup: false}\n');
    await coral(['health']);
    const { stdout } = await coral(['colony', 'ephemeral', 'list']);
    expect(stdout).toMatch(
      /^Agent ID +User +Created +Expires +Purpose\neph-[a-z2-7]{16} +alex +(just now|\d+s ago) +4m\d+s +coral health\n$/,
    );
  });

  it('verifies an audit, and names the first row that was tampered with', async () => {
    const directory = join(home, 'audit');
    await mkdir(directory, { mode: 0o700 });
    const log = await AuditLog.open({ directory, clock: systemClock });
    const append = (word: string) => log.append({ kind: 'admin', user_id: 'alex', agent_id: null, payload: { word } });
    await append('one');
    const { seq } = await append('two');
    await append('three');
    await log.close();
    expect(await coral(['audit', 'verify', directory])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^ok: \d+ rows, head [0-9a-f]{64}$/m),
    });
    const segment = (await readdir(directory)).find((name) => name.endsWith('.jsonl')) ?? '';
    const text = await readFile(join(directory, segment), 'utf8');
    await writeFile(join(directory, segment), text.replace('"two"', '"TWO"'));
    const { code, stdout } = await coral(['audit', 'verify', directory]);
    expect({ code, stdout }).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(new RegExp(`first bad row is ${seq}, at .*:\\d+: edited`)),
    });
    expect(JSON.parse((await coral(['audit', 'verify', directory, '--json'])).stdout)).toMatchObject({ ok: false });
    const nowhere = await coral(['audit', 'verify', join(home, 'nowhere')]);
    expect(nowhere.stderr).toContain('error: ');
    expect(nowhere.code).not.toBe(0);
  });

  describe('ask', () => {
    it('answers from the tools, on stdout alone, and gives the lease back', async () => {
      const text = await coral(['ask', 'Is anything wrong?']);
      expect(text.code).toBe(0);
      expect(text.stdout.trim()).not.toBe('');
      expect(text.stderr).toContain('using the provider builtin');
      expect(text.stderr).toMatch(
        /\d+ tools? · 0 in \/ 0 out tokens · \$0\.00 · \d+\.\d s · lease eph-[a-z2-7]{16}\n$/,
      );
      expect(colony.open).toEqual([]);
      const whole = await coral(['ask', 'Is anything wrong?', '--no-stream']);
      expect(whole.stdout).toBe(text.stdout);
    });

    it('prints one object for programs', async () => {
      const { code, stdout } = await coral(['ask', '-', '--json'], {}, 'Is anything wrong?');
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
      const asked = await coral(['ask', 'Is anything wrong?', '--transcript', join(home, 'mine.json')]);
      expect(asked.code).toBe(0);
      expect((await stat(join(home, 'mine.json'))).mode & 0o777).toBe(0o600);
      const directory = join(home, '.coral', 'transcripts');
      expect((await stat(directory)).mode & 0o777).toBe(0o700);
      expect(await readdir(directory)).toHaveLength(1);
      expect(await readFile(join(home, 'mine.json'), 'utf8')).not.toContain(colony.apiToken);
      await colony[Symbol.asyncDispose]();
      const offline = await coral(['ask', 'is anything WRONG', '--offline']);
      expect(offline).toMatchObject({ code: 0, stdout: asked.stdout });
      expect(offline.stderr).toMatch(/^offline: asked .* at double; nothing was looked at now\n$/);
      colony = await ColonyDouble.start();
    });

    it('keeps what it had on Ctrl-C, gives the lease back and exits 130', async () => {
      const called = hangingTool();
      const child = start(['ask', 'Is anything wrong?']);
      const ended = end(child);
      await unlessEnded(called, ended);
      child.kill('SIGINT');
      const { code, stderr } = await ended;
      expect(code).toBe(130);
      expect(stderr).not.toContain('error: ');
      expect(colony.open).toEqual([]);
    });

    it('gives the lease back when the reader of its output goes away', async () => {
      const child = start(['ask', 'Is anything wrong?']);
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
      const { code, stderr } = await coral(['ask', 'Is anything wrong?']);
      expect(code).toBe(0);
      expect(stderr.match(/Reconnecting…/g)).toHaveLength(1);
      expect(colony.granted).toHaveLength(2);
      expect(colony.open).toEqual([]);
    });
  });
});
