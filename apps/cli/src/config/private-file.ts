import { randomBytes } from 'node:crypto';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/**
 * Replaces `file` in one step: whoever reads it sees the old text or the new one, never half of either, and after a
 * power cut one of the two is there. Mode 0600 from the first byte; missing directories are made 0700.
 */
export async function writePrivateFile(file: string, text: string): Promise<void> {
  const directory = dirname(file);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const draft = join(directory, `.${basename(file)}.${randomBytes(6).toString('hex')}`);
  try {
    // `wx` refuses to follow anything that waits at the draft's name.
    await using handle = await open(draft, 'wx', 0o600);
    await handle.writeFile(text);
    await handle.sync();
  } catch (thrown) {
    await rm(draft, { force: true });
    throw thrown;
  }
  await rename(draft, file);
  await using parent = await open(directory, 'r');
  await parent.sync();
}
