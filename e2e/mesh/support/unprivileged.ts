import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { dirname } from 'node:path';
import type { Bundle } from './bundle.js';

/** nobody, in every image. */
export const nobody = 65_534;

/** What a container's root file system is: everything mounted is made read-only, but for what the kernel itself provides. */
const readOnlyEverywhere = [
  'mount --make-rprivate /',
  'for place in $(findmnt -rno TARGET -t noproc,nosysfs,nodevtmpfs,nodevpts,nomqueue,nocgroup,nocgroup2); do',
  '  mount -o remount,bind,ro "$place" || echo "stays writable: $place" >&2',
  'done',
  'exec "$@"',
].join('\n');

/**
 * Starts a program as uid 65534 with no capability, none it could gain (empty bounding set, no-new-privs) and every file
 * system read-only: what a hardened pod or a laptop's ordinary user may do, and less. Needs root to give that up.
 */
export function spawnUnprivileged(
  { file, node }: Pick<Bundle, 'file' | 'node'>,
  args: readonly string[] = [],
): ChildProcessWithoutNullStreams {
  const identity = ['--reuid', String(nobody), '--regid', String(nobody), '--clear-groups'];
  const nothing = ['--inh-caps=-all', '--ambient-caps=-all', '--bounding-set=-all', '--no-new-privs'];
  const giveUp = ['setpriv', ...identity, ...nothing, '--pdeathsig', 'KILL', '--'];
  const command = [...giveUp, node, '--no-warnings', file, ...args];
  return spawn('unshare', ['--mount', '--', 'sh', '-c', readOnlyEverywhere, 'sh', ...command], {
    cwd: dirname(file),
    env: { PATH: process.env.PATH, HOME: '/nonexistent' },
  });
}
