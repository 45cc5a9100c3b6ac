import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import type { Stats } from 'node:fs';
import { CoralError } from '@coral/errors';
import type { z } from 'zod';
import { parseYaml } from './parse-yaml.js';
import { badConfig } from './problem.js';
import { maxConfigBytes } from './yaml-source.js';

/** Deep-frozen, checked content of `file`. A missing file is `config_missing`; problems are as in `parseYaml`. */
export async function loadYamlFile<T>(file: string, schema: z.ZodType<T>): Promise<T> {
  return parseYaml(await readConfigText(file), file, schema);
}

/** As {@link loadYamlFile} for files that may hold secrets: ours, not a link, and closed to everybody else. */
export async function loadPrivateYamlFile<T>(file: string, schema: z.ZodType<T>): Promise<T> {
  const text = await readText(file, constants.O_NOFOLLOW, (stats) => assertPrivate(file, stats));
  return parseYaml(text, file, schema);
}

/** The text of a regular UTF-8 file of at most {@link maxConfigBytes}; never waits for a pipe or a device. */
export function readConfigText(file: string): Promise<string> {
  return readText(file, 0, () => undefined);
}

async function readText(file: string, extraFlags: number, check: (stats: Stats) => void): Promise<string> {
  // Every check is made on the open handle: the name may point elsewhere a moment later.
  await using handle = await openForReading(file, extraFlags);
  const stats = await handle.stat();
  if (!stats.isFile()) throw unreadable(file, 'it is not a regular file');
  check(stats);
  const buffer = Buffer.alloc(maxConfigBytes + 1);
  let length = 0;
  while (length < buffer.length) {
    const { bytesRead } = await handle.read(buffer, length, buffer.length - length, length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  if (length > maxConfigBytes) {
    throw badConfig(file, [{ at: { line: 1, col: 1 }, path: [], text: `larger than ${maxConfigBytes} bytes (1 MiB)` }]);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(buffer.subarray(0, length));
  } catch (cause) {
    throw unreadable(file, 'it is not UTF-8 text', cause);
  }
}

async function openForReading(file: string, extraFlags: number): Promise<FileHandle> {
  try {
    return await open(file, constants.O_RDONLY | constants.O_NONBLOCK | extraFlags);
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
    if (code === 'ENOENT' || code === 'ENOTDIR') throw configMissing(file, cause);
    if (code === 'ELOOP')
      throw notPrivate(file, 'it is a symbolic link', `Put the file itself at ${quoted(file)}, mode 0600.`);
    throw unreadable(file, typeof code === 'string' ? code : 'it cannot be opened', cause);
  }
}

function assertPrivate(file: string, stats: Stats): void {
  const me = process.getuid?.();
  if (me !== undefined && stats.uid !== me) {
    const next = `Make it yours: chown ${me} ${quoted(file)} && chmod 600 ${quoted(file)}`;
    throw notPrivate(file, `it belongs to user ${stats.uid}, and you are ${me}`, next);
  }
  if ((stats.mode & 0o7177) !== 0) {
    const mode = (stats.mode & 0o7777).toString(8).padStart(4, '0');
    throw notPrivate(file, `its mode is ${mode}, wider than 0600`, `chmod 600 ${quoted(file)}`);
  }
}

/** A path that can be pasted into a shell. */
function quoted(file: string): string {
  return /^[\w./@+-]+$/.test(file) ? file : `'${file.replaceAll("'", String.raw`'\''`)}'`;
}

function configMissing(file: string, cause: unknown): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'config_missing',
    where: file,
    message: `${file}: there is no such file.`,
    next: `Create ${file}, or name another one.`,
    cause,
  });
}

function notPrivate(file: string, why: string, next: string): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'config_not_private',
    where: file,
    message: `${file}: others could read or replace it: ${why}.`,
    next,
  });
}

function unreadable(file: string, why: string, cause?: unknown): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'config_unreadable',
    where: file,
    message: `${file}: cannot be read: ${why}.`,
    next: `Check that ${file} is a text file that this user may read.`,
    cause,
  });
}
