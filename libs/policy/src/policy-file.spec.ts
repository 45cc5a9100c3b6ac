import { appendFile, mkdir, mkdtemp, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CoralError } from '@coral/errors';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { watchPolicyFile, type Policy, type PolicyTriggers, type PolicyWatch } from './index.js';

const granting = (permission: string): string =>
  `version: 1\nroles: {dev: {permissions: ["${permission}"]}}\nbindings: [{role: dev, users: [alex]}]\n`;
const alex = { userId: 'alex' };

let folder: string;
let file: string;
let changes: Policy[];
let errors: CoralError[];
let watching: PolicyWatch | undefined;

/** Looks only when the test says so. */
const byHand: PolicyTriggers = { start: () => () => undefined, soon: () => undefined };

async function start(path = file, triggers: PolicyTriggers = byHand): Promise<PolicyWatch> {
  watching = await watchPolicyFile(path, {
    onChange: (policy) => void changes.push(policy),
    onError: (error) => errors.push(error),
    clock: { now: () => 1_000, monotonic: () => 0 },
    triggers,
  });
  return watching;
}

async function settle(watch: PolicyWatch): Promise<void> {
  await watch.check();
  await watch.check();
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coral-policy-'));
  file = join(folder, 'policy.yaml');
  changes = [];
  errors = [];
  await writeFile(file, granting('read:metrics'));
});
afterEach(async () => {
  await watching?.close();
  watching = undefined;
  await rm(folder, { recursive: true });
});

describe('watchPolicyFile', () => {
  it.each([
    ['broken', 'roles: ['],
    ['empty', ''],
  ])('refuses to start on a file that is %s', async (_what, text) => {
    await writeFile(file, text);
    await expect(start()).rejects.toMatchObject({ kind: 'failed_precondition', reason: 'bad_config' });
  });

  it('refuses to start without the file', async () => {
    await unlink(file);
    await expect(start()).rejects.toMatchObject({ reason: 'config_missing', where: file });
  });

  it('takes a good edit once it stands still, and says so once', async () => {
    const watch = await start();
    await writeFile(file, granting('read:health'));
    await watch.check();
    expect(watch.current().decide(alex, 'read:health').allowed).toBe(false);
    await watch.check();
    await watch.check();
    expect(watch.current().decide(alex, 'read:health').allowed).toBe(true);
    expect(watch.current().decide(alex, 'read:metrics').allowed).toBe(false);
    expect(changes.map((policy) => policy.revision)).toEqual([watch.current().revision]);
    expect(errors).toEqual([]);
  });

  it.each<[string, string, () => Promise<void>]>([
    ['broken', 'bad_config', () => appendFile(file, 'oops: [\n')],
    ['empty', 'bad_config', () => writeFile(file, '')],
    ['deleted', 'config_missing', () => unlink(file)],
    ['not text', 'config_unreadable', () => writeFile(file, Buffer.from([0xff, 0xfe, 0x00]))],
    ['a folder', 'config_unreadable', async () => (await unlink(file), void (await mkdir(file)))],
    ['a link to itself', 'config_not_private', async () => (await unlink(file), symlink(file, file))],
    ['granting an unknown permission', 'bad_config', () => writeFile(file, granting('read:everything'))],
    [
      'without bindings',
      'bad_config',
      () => writeFile(file, 'version: 1\nroles: {dev: {permissions: [read:metrics]}}\n'),
    ],
    ['too large', 'bad_config', () => appendFile(file, `#${'x'.repeat(1_048_576)}`)],
  ])('keeps the last good policy when the file becomes %s, and reports it once', async (_what, reason, damage) => {
    const watch = await start();
    const before = watch.current();
    await damage();
    await settle(watch);
    await settle(watch);
    expect(watch.current()).toBe(before);
    expect(errors.map((error) => error.reason)).toEqual([reason]);
    expect(watch.status()).toMatchObject({ revision: before.revision, error: { reason } });
    expect(changes).toEqual([]);

    await rm(file, { recursive: true, force: true });
    await writeFile(file, granting('read:events'));
    await settle(watch);
    expect(watch.current().decide(alex, 'read:events').allowed).toBe(true);
    expect(watch.status().error).toBeUndefined();
  });

  it('forgets the complaint when the good content returns', async () => {
    const watch = await start();
    await writeFile(file, 'oops');
    await settle(watch);
    await writeFile(file, granting('read:metrics'));
    await watch.check();
    expect(watch.status().error).toBeUndefined();
    expect(changes).toEqual([]);
  });

  it('does not take or report a half-written file while the rest arrives', async () => {
    const watch = await start();
    const whole = `${granting('read:health')}`;
    for (const length of [10, 40, 70, whole.length]) {
      await writeFile(file, whole.slice(0, length));
      await watch.check();
      expect(watch.current().decide(alex, 'read:metrics').allowed).toBe(true);
    }
    await watch.check();
    expect(watch.current().decide(alex, 'read:health').allowed).toBe(true);
    expect(errors).toEqual([]);
  });

  it('follows a file renamed over it', async () => {
    const watch = await start();
    await writeFile(join(folder, 'next'), granting('read:health'));
    await rename(join(folder, 'next'), file);
    await settle(watch);
    expect(watch.current().decide(alex, 'read:health').allowed).toBe(true);
  });

  it("follows Kubernetes' ..data link swap", async () => {
    const mounted = await configMap('read:metrics');
    const watch = await start(mounted);
    await swapConfigMap('read:health');
    await settle(watch);
    expect(watch.current().decide(alex, 'read:health').allowed).toBe(true);
    expect(errors).toEqual([]);
  });

  it('decides by one whole version or the other through 100 flips', async () => {
    const watch = await start();
    for (let flip = 0; flip < 100; flip += 1) {
      const [now, other] = flip % 2 === 0 ? ['read:health', 'read:metrics'] : ['read:metrics', 'read:health'];
      await writeFile(file, granting(now as string));
      await settle(watch);
      const policy = watch.current();
      expect(policy.permissionsOf(alex)).toEqual([now]);
      expect(policy.decide(alex, other as 'read:health').allowed).toBe(false);
    }
    expect(changes).toHaveLength(100);
    expect(errors).toEqual([]);
  });

  it('reports a failing listener, with the new policy in force all the same', async () => {
    let poke = (): void => undefined;
    const triggers: PolicyTriggers = {
      start: (_path, check) => {
        poke = check;
        return () => undefined;
      },
      soon: (check) => check(),
    };
    const reported = new Promise<CoralError>((resolve) => {
      void watchPolicyFile(file, {
        onChange: () => Promise.reject(new Error('audit is away')),
        onError: resolve,
        triggers,
      }).then(async (watch) => {
        watching = watch;
        await writeFile(file, granting('read:health'));
        poke();
      });
    });
    expect((await reported).kind).toBe('internal');
    expect(watching?.current().decide(alex, 'read:health').allowed).toBe(true);
  });

  it('takes nothing after it is closed', async () => {
    const watch = await start();
    await watch.close();
    await writeFile(file, granting('read:health'));
    await settle(watch);
    expect(watch.current().decide(alex, 'read:health').allowed).toBe(false);
  });

  it.each(['an edit in place', 'a rename', 'a ..data swap'])('sees %s by itself within 5 seconds', async (how) => {
    const path = how === 'a ..data swap' ? await configMap('read:metrics') : file;
    const changed = new Promise<Policy>((resolve, reject) => {
      void watchPolicyFile(path, { onChange: resolve, onError: reject }).then(async (watch) => {
        watching = watch;
        if (how === 'a ..data swap') await swapConfigMap('read:health');
        else if (how === 'an edit in place') await writeFile(file, granting('read:health'));
        else {
          await writeFile(join(folder, 'next'), granting('read:health'));
          await rename(join(folder, 'next'), file);
        }
      }, reject);
    });
    const started = performance.now();
    expect((await changed).decide(alex, 'read:health').allowed).toBe(true);
    expect(performance.now() - started).toBeLessThan(5_000);
  });
});

/** A ConfigMap as the kubelet lays it out: policy.yaml → ..data/policy.yaml, ..data → ..1. */
async function configMap(permission: string): Promise<string> {
  const mount = join(folder, 'mount');
  await mkdir(join(mount, '..1'), { recursive: true });
  await writeFile(join(mount, '..1', 'policy.yaml'), granting(permission));
  await symlink('..1', join(mount, '..data'));
  await symlink(join('..data', 'policy.yaml'), join(mount, 'policy.yaml'));
  return join(mount, 'policy.yaml');
}

/** The kubelet's update: a new folder, a new link, one rename, the old folder removed. */
async function swapConfigMap(permission: string): Promise<void> {
  const mount = join(folder, 'mount');
  await mkdir(join(mount, '..2'));
  await writeFile(join(mount, '..2', 'policy.yaml'), granting(permission));
  await symlink('..2', join(mount, '..data_tmp'));
  await rename(join(mount, '..data_tmp'), join(mount, '..data'));
  await rm(join(mount, '..1'), { recursive: true });
}
