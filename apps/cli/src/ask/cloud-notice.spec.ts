import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sayCloudNotice } from './cloud-notice.js';

describe('what a model elsewhere sees', () => {
  let directory: string;
  let file: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'coral-notice-'));
    file = join(directory, 'state', 'notices.yaml');
  });
  afterEach(() => rm(directory, { recursive: true }));

  const clock = { now: () => Date.parse('2026-11-21T10:00:00Z'), monotonic: () => 0 };
  const said = async (provider: 'builtin' | 'anthropic' | 'openai', endpoint?: string, where = file) => {
    const lines: string[] = [];
    await sayCloudNotice({ provider, endpoint }, { file: where, clock, say: (line) => lines.push(line) });
    return lines;
  };

  it('is said once for each provider and host, and remembered privately', async () => {
    expect(await said('anthropic')).toEqual([
      expect.stringMatching(
        /anthropic \(api\.anthropic\.com\) sees your question and the telemetry it asks for; it never/,
      ),
    ]);
    expect(await said('anthropic')).toEqual([]);
    expect(await said('openai')).toHaveLength(1);
    expect(await said('openai', 'https://models.example.com/v1')).toHaveLength(1);
    expect(await said('openai', 'https://models.example.com/v2')).toEqual([]);
    expect(await said('anthropic')).toEqual([]);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readFile(file, 'utf8')).toContain('anthropic@api.anthropic.com: 2026-11-21T10:00:00.000Z');
  });

  it('is not said of this machine', async () => {
    expect(await said('builtin')).toEqual([]);
    expect(await said('openai', 'http://localhost:8000/v1')).toEqual([]);
    await expect(stat(file)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('tells when what is sent can be read on its way', async () => {
    expect((await said('openai', 'http://gpu.example.com:8000/v1'))[0]).toContain('unencrypted');
  });

  it('is said each time where it cannot be remembered, and stops no question', async () => {
    const below = join(directory, 'a-file', 'notices.yaml');
    await writeFile(join(directory, 'a-file'), '');
    expect(await said('anthropic', undefined, below)).toHaveLength(1);
    expect(await said('anthropic', undefined, below)).toHaveLength(1);
  });

  it.each([
    ['damaged', async () => writeFile(file, '}{', { mode: 0o600 })],
    ['of another kind', async () => writeFile(file, 'cloud_notice: [1]\n', { mode: 0o600 })],
    [
      'open to others',
      async () => {
        await writeFile(file, 'cloud_notice: {anthropic@api.anthropic.com: 2026-11-21T10:00:00Z}\n');
        await chmod(file, 0o666);
      },
    ],
  ])('is said when its memory is %s, which is then mended', async (_how, damage) => {
    await mkdir(join(directory, 'state'));
    await damage();
    expect(await said('anthropic')).toHaveLength(1);
    expect(await said('anthropic')).toEqual([]);
  });
});
