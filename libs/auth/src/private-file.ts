import { constants } from 'node:fs';
import { link, mkdir, open, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { randomUUID } from 'node:crypto';
import { CoralError } from '@coral/errors';

/** Nothing we keep as a key comes near this. */
const maxKeyFileBytes = 64 * 1024;

/**
 * Reads a key file, or makes it with `create` when there is none. The file appears whole or not at all, never over
 * another one: when two processes start at once, both end up with the same key.
 */
export async function readOrCreatePrivateFile(file: string, create: () => Promise<string>): Promise<string> {
  const found = await readPrivateFile(file);
  if (found !== undefined) return found;
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const fresh = `${file}.${randomUUID()}.new`;
  const handle = await open(fresh, 'wx', 0o600);
  try {
    try {
      await handle.writeFile(await create());
      await handle.sync();
    } finally {
      await handle.close();
    }
    // link, not rename: it refuses to replace what another process put there first.
    await link(fresh, file).catch((error: unknown) => {
      if (codeOf(error) !== 'EEXIST') throw error;
    });
  } finally {
    await unlink(fresh);
  }
  await syncDirectory(dirname(file));
  const made = await readPrivateFile(file);
  if (made === undefined) throw keyNotPrivate(file, 'vanished while it was being made', 'Start again.');
  return made;
}

async function readPrivateFile(file: string): Promise<string | undefined> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined;
    if (codeOf(error) === 'ELOOP') {
      throw keyNotPrivate(file, 'is a symbolic link', `Put the key itself at ${file}.`);
    }
    throw error;
  });
  if (!handle) return undefined;
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw keyNotPrivate(file, 'is not a regular file', 'Move it away.');
    if (stat.uid !== process.getuid?.()) {
      throw keyNotPrivate(file, `belongs to user id ${stat.uid}`, `chown ${process.getuid?.()} ${file}`);
    }
    if ((stat.mode & 0o077) !== 0) {
      const mode = (stat.mode & 0o777).toString(8).padStart(4, '0');
      throw keyNotPrivate(file, `can be read by others (mode ${mode})`, `chmod 600 ${file}`);
    }
    if (stat.size > maxKeyFileBytes) throw keyDamaged(file, `is larger than ${maxKeyFileBytes} bytes`);
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}

/** The file is there and private, but holds no key we can use. Never replaced on its own: that would lock people out. */
export function keyDamaged(file: string, problem: string, cause?: unknown): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'key_damaged',
    where: file,
    message: `The key file ${file} ${problem}.`,
    next: 'Restore it from a backup, or move it away to have a new key made (everything signed by the old one ends).',
    cause,
  });
}

function keyNotPrivate(file: string, problem: string, next: string): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'key_not_private',
    where: file,
    message: `The key file ${file} ${problem}.`,
    next,
  });
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}
