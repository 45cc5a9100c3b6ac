import { execFile } from 'node:child_process';
import { mkdir, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A disk that a test can fill and free again. */
export interface SmallDisk extends AsyncDisposable {
  fill(): Promise<void>;
  free(): Promise<void>;
}

const mebibyte = 1_048_576;

/**
 * A file system of `mebibytes` of its own at `directory`, where we may mount one: then a full disk is really full
 * (ENOSPC). Elsewhere the kernel refuses the process of `pid` to make any file larger than it is (RLIMIT_FSIZE, EFBIG).
 */
export async function openSmallDisk(directory: string, mebibytes: number, pid: () => number): Promise<SmallDisk> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const options = `size=${mebibytes}m,mode=700`;
  const mounted = await run('mount', ['-t', 'tmpfs', '-o', options, 'coral-e2e', directory]).then(
    () => true,
    () => false, // Not root, or a container that may not mount.
  );
  if (!mounted) return limitedProcess(pid);
  const ballast = join(directory, 'ballast');
  return {
    fill: async () => {
      const { bavail, bsize } = await statfs(directory);
      await writeFile(ballast, Buffer.alloc(Math.max(0, bavail * bsize - mebibyte)));
      // What is left goes page by page: files that grow meanwhile may take some of it.
      for (let i = 0; await tryWrite(join(directory, `ballast-${i}`), 4_096); i++);
    },
    free: async () => {
      await run('sh', ['-c', 'rm -f "$1"/ballast*', 'sh', directory]);
    },
    [Symbol.asyncDispose]: async () => {
      await run('umount', ['-l', directory]);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function tryWrite(file: string, bytes: number): Promise<boolean> {
  return writeFile(file, Buffer.alloc(bytes)).then(
    () => true,
    () => false,
  );
}

function limitedProcess(pid: () => number): SmallDisk {
  const limit = (bytes: number | 'unlimited') => run('prlimit', ['--pid', String(pid()), `--fsize=${bytes}:unlimited`]);
  return {
    fill: async () => void (await limit(512)),
    free: async () => void (await limit('unlimited')),
    [Symbol.asyncDispose]: async () => undefined,
  };
}
