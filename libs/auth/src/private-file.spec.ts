import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readOrCreatePrivateFile } from './private-file.js';

describe('a private file', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'coral-private-'));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  it('is never replaced: who comes second takes what is there', async () => {
    const file = join(directory, 'key');
    const release = Promise.withResolvers<string>();
    const slow = readOrCreatePrivateFile(file, () => release.promise);
    expect(await readOrCreatePrivateFile(file, async () => 'first')).toBe('first');
    release.resolve('second');
    expect(await slow).toBe('first');
    expect(await readOrCreatePrivateFile(file, async () => 'third')).toBe('first');
    expect(await readdir(directory)).toEqual(['key']);
  });

  it('does not appear when making it fails', async () => {
    const file = join(directory, 'key');
    const failing = readOrCreatePrivateFile(file, () => Promise.reject(new Error('no entropy')));
    await expect(failing).rejects.toThrow('no entropy');
    expect(await readdir(directory)).toEqual([]);
  });
});
