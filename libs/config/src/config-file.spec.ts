import { execFileSync } from 'node:child_process';
import { chmod, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { loadPrivateYamlFile, loadYamlFile, maxConfigBytes, readConfigText } from './index.js';

const schema = z.strictObject({ name: z.string(), tags: z.array(z.string()).optional() });
let folder: string;
let file: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coral-config-'));
  file = join(folder, 'config.yaml');
  await writeFile(file, 'name: x\ntags: [a]\n', { mode: 0o600 });
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true });
});

describe('loadYamlFile', () => {
  it('gives the frozen content', async () => {
    const value = await loadYamlFile(file, schema);
    expect(value).toEqual({ name: 'x', tags: ['a'] });
    expect(Object.isFrozen(value.tags)).toBe(true);
  });

  it('reads text with a byte order mark', async () => {
    await writeFile(file, '\uFEFFname: x\n');
    expect(await loadYamlFile(file, schema)).toEqual({ name: 'x' });
  });

  it('names a missing file', async () => {
    const gone = join(folder, 'gone.yaml');
    await expect(loadYamlFile(gone, schema)).rejects.toMatchObject({
      kind: 'failed_precondition',
      reason: 'config_missing',
      where: gone,
    });
  });

  it('refuses a file above the limit after reading no more than that', async () => {
    await writeFile(file, `name: ${'x'.repeat(maxConfigBytes)}`);
    await expect(loadYamlFile(file, schema)).rejects.toMatchObject({ reason: 'bad_config', where: `${file}:1:1` });
  });

  it('says that a file is too large, not that its last letter was cut in half', async () => {
    await writeFile(file, `n: ${'é'.repeat(maxConfigBytes / 2)}`);
    await expect(readConfigText(file)).rejects.toMatchObject({ reason: 'bad_config', where: `${file}:1:1` });
  });

  it('refuses what is not a text file, without waiting for it', async () => {
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    for (const odd of [folder, pipe, '/dev/zero']) {
      await expect(loadYamlFile(odd, schema)).rejects.toMatchObject({ reason: 'config_unreadable' });
    }
    await writeFile(file, Buffer.from([0x6e, 0x3a, 0x20, 0xff, 0xfe]));
    await expect(loadYamlFile(file, schema)).rejects.toMatchObject({ reason: 'config_unreadable' });
  });
});

describe('loadPrivateYamlFile', () => {
  it.each([0o600, 0o400])('takes mode %o', async (mode) => {
    await chmod(file, mode);
    expect((await loadPrivateYamlFile(file, schema)).name).toBe('x');
  });

  it.each([0o644, 0o640, 0o604, 0o620, 0o602, 0o700, 0o610])('refuses mode %o with the chmod line', async (mode) => {
    await chmod(file, mode);
    await expect(loadPrivateYamlFile(file, schema)).rejects.toMatchObject({
      kind: 'failed_precondition',
      reason: 'config_not_private',
      next: `chmod 600 ${file}`,
    });
  });

  it('refuses a symbolic link, even to a private file', async () => {
    const link = join(folder, 'link.yaml');
    await symlink(file, link);
    await expect(loadPrivateYamlFile(link, schema)).rejects.toMatchObject({
      reason: 'config_not_private',
      where: link,
    });
    expect((await loadYamlFile(link, schema)).name).toBe('x');
  });

  it("refuses somebody else's file", async () => {
    const me = process.getuid?.() ?? 0;
    vi.spyOn(process, 'getuid').mockReturnValue(me + 1);
    await expect(loadPrivateYamlFile(file, schema)).rejects.toMatchObject({
      reason: 'config_not_private',
      next: `Make it yours: chown ${me + 1} ${file} && chmod 600 ${file}`,
    });
  });

  it('quotes an odd path so that the line can be pasted', async () => {
    const odd = join(folder, "my config's.yaml");
    await writeFile(odd, 'name: x\n', { mode: 0o644 });
    const quoted = `'${odd.replace("'", String.raw`'\''`)}'`;
    await expect(loadPrivateYamlFile(odd, schema)).rejects.toMatchObject({ next: `chmod 600 ${quoted}` });
  });
});
