import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { describe } from 'vitest';

const tools = ['ip', 'wg', 'wireguard-go', 'iperf3', 'ping', 'unshare', 'nsenter', 'setpriv'];

function isOnPath(tool: string): boolean {
  return (process.env.PATH ?? '').split(':').some((folder) => {
    try {
      accessSync(`${folder}/${tool}`, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Why the tests against wireguard-go and the kernel cannot run here; nothing when they can. */
function findGap(): string | undefined {
  if (process.platform !== 'linux') return 'Linux';
  if (process.getuid?.() !== 0) return 'root';
  const missing = tools.filter((tool) => !isOnPath(tool));
  if (missing.length > 0) return missing.join(', ');
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
  } catch {
    return '/dev/net/tun';
  }
  // Root in a container is often not allowed to.
  const tried = spawnSync('unshare', ['--net', '--pid', '--mount', '--fork', '--', 'ip', 'link', 'set', 'lo', 'up']);
  return tried.status === 0 ? undefined : 'the right to make network namespaces';
}

/** Set by `.ci/run`: there the tests below fail where elsewhere they are skipped. */
const isRequired = process.env.CORAL_REQUIRE_INTEROP === '1';

export const interopGap = findGap();

/**
 * `describe` for what needs root and foreign tools. Without them its tests are counted as skipped, each with the reason in its name,
 * so that the last lines of a run say what was not tested; in CI they fail instead.
 */
export function describeInterop(name: string, tests: () => void): void {
  if (interopGap && isRequired)
    throw new Error(`${name}: needs ${interopGap}, and CORAL_REQUIRE_INTEROP says that nothing may be skipped`);
  describe(`${name}${interopGap ? ` [needs ${interopGap}]` : ''}`, { skip: interopGap !== undefined }, () => {
    tests();
  });
}

/** The long form of a test: by hand, or in a nightly run. */
export const isLongRun = process.env.CORAL_LONG_TESTS === '1';
