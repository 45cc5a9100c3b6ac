import { chmod, copyFile, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AuditLog } from '@coral/audit';
import { systemClock } from '@coral/model';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ColonyDouble } from '../apps/cli/src/testing/colony-double.js';
import { envelopeOf } from '../apps/cli/src/testing/envelopes.js';
import { binary, end, hangingTool, openDouble, unlessEnded, type Laptop } from './support/laptop.js';

describe('the built coral', () => {
  let colony: ColonyDouble;
  let laptop: Laptop;

  beforeEach(async () => {
    ({ colony, laptop } = await openDouble());
  });
  afterEach(async () => {
    await laptop[Symbol.asyncDispose]();
    await colony[Symbol.asyncDispose]();
  });

  it('runs from anywhere and through links', async () => {
    await symlink(binary, join(laptop.home, 'first'));
    await symlink('first', join(laptop.home, 'second'));
    const child = laptop.start(['--version'], {}, join(laptop.home, 'second'));
    expect(await end(child)).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^coral\/\d+\.\d+\.\d+ .* node-v2[4-9]/),
    });
  });

  it('ends without a word when nobody reads its output', async () => {
    const child = laptop.start(['colony', 'list']);
    child.stdout.destroy();
    expect(await end(child)).toMatchObject({ code: 141, stderr: '' });
  });

  it('says in one line that a Node is too old, and exits 78', async () => {
    const elsewhere = join(laptop.home, 'checkout', 'bin');
    await mkdir(elsewhere, { recursive: true });
    await copyFile(binary, join(elsewhere, 'coral'));
    const old = join(laptop.home, 'old');
    await mkdir(old);
    await writeFile(join(old, 'node'), '#!/bin/sh\necho v20.20.2\n');
    await chmod(join(old, 'node'), 0o755);
    const PATH = `${old}:/usr/bin:/bin`;
    const { code, stderr } = await end(laptop.start(['ask', 'x'], { PATH }, join(elsewhere, 'coral')));
    expect({ code, stderr }).toEqual({
      code: 78,
      stderr: `coral: found Node.js v20.20.2 at ${old}/node; it needs Node.js 24 or newer.\n`,
    });
  });

  it('calls a tool, prints its table, and gives the lease back', async () => {
    const { code, stdout, stderr } = await laptop.coral(['health']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('2026-11-21 10:00:00 to 11:00:00 UTC (1h)');
    expect(colony.granted).toMatchObject([{ purpose: 'coral health', ttlMs: 300_000 }]);
    expect(colony.open).toEqual([]);
  });

  it('mirrors the arguments of every tool', async () => {
    await laptop.coral(['query', 'latency', '--scope', 'web', '--time-range', '2h', '--json']);
    await laptop.coral(['live', 'agt-a', 'SELECT 1', '--json']);
    await laptop.coral(['topology', '--format', 'graphviz', '--time-range', '2h', '--json']);
    await laptop.coral(['events', '--event-type', 'deploy', '--service', 'web', '--time-range', '2h', '--json']);
    await laptop.coral(['health', '--service-filter', 'we*', '--json']);
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
    const text = await laptop.coral(['health']);
    expect(text.code).toBe(8);
    expect(text.stdout).toContain('Partial: 1 of 2 agents answered; silent: agt-b.');
    const json = await laptop.coral(['health', '--json']);
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
    expect(await laptop.coral(['health'])).toMatchObject({
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
    const outputs = [
      await laptop.coral(['health']),
      await laptop.coral(['--help']),
      await laptop.coral(['health', '--nope']),
    ];
    // oxlint-disable-next-line no-control-regex
    for (const { stdout, stderr } of outputs) expect(stdout + stderr).not.toMatch(/[\u001b\u0007\u202e]/);
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('gives the lease back on %s and exits %i', async (signal, code) => {
    const called = hangingTool(colony);
    const child = laptop.start(['health']);
    const ended = end(child);
    await unlessEnded(called, ended);
    child.kill(signal);
    expect((await ended).code).toBe(code);
    expect(colony.open).toEqual([]);
    expect(colony.released).toHaveLength(1);
  });

  it('leaves at once on the second Ctrl-C, also when the colony hangs', async () => {
    const called = hangingTool(colony);
    const asked = new Promise<void>((resolve) => {
      colony.beforeRelease = () => {
        resolve();
        return new Promise(() => undefined);
      };
    });
    const child = laptop.start(['health']);
    const ended = end(child);
    await unlessEnded(called, ended);
    child.kill('SIGINT');
    await unlessEnded(asked, ended);
    const before = performance.now();
    child.kill('SIGINT');
    expect((await ended).code).toBe(130);
    // Waiting for the release instead takes releaseDeadlineMs, 3 s.
    expect(performance.now() - before).toBeLessThan(1_500);
  });

  it('waits for a colony that hangs no longer than it should', async () => {
    colony.beforeRelease = () => new Promise(() => undefined);
    const before = performance.now();
    expect((await laptop.coral(['health'])).code).toBe(0);
    expect(performance.now() - before).toBeLessThan(20_000);
  });

  it('keeps the lease until its TTL when auto_cleanup is off', async () => {
    await laptop.configure(colony.entry, 'ephemeral: {auto_cleanup: false, default_ttl: 2m}\n');
    expect((await laptop.coral(['health'])).code).toBe(0);
    expect(colony.granted).toMatchObject([{ ttlMs: 120_000 }]);
    expect(colony.released).toEqual([]);
  });

  it('adds, lists and uses colonies, keeping a piped token to itself', async () => {
    await rm(laptop.config);
    const { endpoint, fingerprint } = colony;
    const add = ['colony', 'add', 'double', endpoint, '--ca-fingerprint', fingerprint];
    const added = await laptop.coral(add, {}, `${colony.apiToken}\n`);
    expect(added).toMatchObject({ code: 0, stdout: '' });
    expect(added.stderr).toContain('you are alex (read:metrics)');
    const kept = join(laptop.home, '.coral', 'credentials.yaml');
    expect((await stat(kept)).mode & 0o777).toBe(0o600);
    expect((await stat(laptop.config)).mode & 0o777).toBe(0o600);
    expect(await readFile(laptop.config, 'utf8')).not.toContain('coral_pat');
    expect((await laptop.coral(['health'])).code).toBe(0);
    expect((await laptop.coral(['colony', 'list'])).stdout).toContain('double');
    expect((await laptop.coral(['colony', 'use', 'double'])).code).toBe(0);
    const wrongName = await laptop.coral(
      ['colony', 'add', 'other', endpoint, '--ca-fingerprint', fingerprint],
      {},
      colony.apiToken,
    );
    expect(wrongName).toMatchObject({ code: 2, stderr: expect.stringContaining('error: other_colony: ') });
    const wrongToken = await laptop.coral(
      ['colony', 'add', 'double', endpoint, '--ca-fingerprint', fingerprint],
      {},
      'nonsense',
    );
    expect(wrongToken.code).toBe(4);
    expect(await readFile(kept, 'utf8')).toContain(colony.apiToken);
  });

  it('lists live leases', async () => {
    await laptop.configure(colony.entry, 'ephemeral: {auto_cleanup: false}\n');
    await laptop.coral(['health']);
    const { stdout } = await laptop.coral(['colony', 'ephemeral', 'list']);
    expect(stdout).toMatch(
      /^Agent ID +User +Created +Expires +Purpose\neph-[a-z2-7]{16} +alex +(just now|\d+s ago) +4m\d+s +coral health\n$/,
    );
  });

  it('verifies an audit, and names the first row that was tampered with', async () => {
    const directory = join(laptop.home, 'audit');
    await mkdir(directory, { mode: 0o700 });
    const log = await AuditLog.open({ directory, clock: systemClock });
    const append = (word: string) => log.append({ kind: 'admin', user_id: 'alex', agent_id: null, payload: { word } });
    await append('one');
    const { seq } = await append('two');
    await append('three');
    await log.close();
    expect(await laptop.coral(['audit', 'verify', directory])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^ok: \d+ rows, head [0-9a-f]{64}$/m),
    });
    const segment = (await readdir(directory)).find((name) => name.endsWith('.jsonl')) ?? '';
    const text = await readFile(join(directory, segment), 'utf8');
    await writeFile(join(directory, segment), text.replace('"two"', '"TWO"'));
    const { code, stdout } = await laptop.coral(['audit', 'verify', directory]);
    expect({ code, stdout }).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(new RegExp(`first bad row is ${seq}, at .*:\\d+: edited`)),
    });
    expect(JSON.parse((await laptop.coral(['audit', 'verify', directory, '--json'])).stdout)).toMatchObject({
      ok: false,
    });
    const nowhere = await laptop.coral(['audit', 'verify', join(laptop.home, 'nowhere')]);
    expect(nowhere.stderr).toContain('error: ');
    expect(nowhere.code).not.toBe(0);
  });
});
