// The foreign tools of the tests in e2e/mesh: wireguard-go and the kernel's own network are what ours is tested against.
// As root on a Debian they are installed when missing; elsewhere their tests are skipped, and said to be. With
// CORAL_REQUIRE_INTEROP=1 (set by .ci/run) a missing tool is a failure.
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';

/** Command → Debian package. */
const packages = {
  'wireguard-go': 'wireguard-go',
  wg: 'wireguard-tools',
  ip: 'iproute2',
  iperf3: 'iperf3',
  ping: 'iputils-ping',
};

function isOnPath(command) {
  return (process.env.PATH ?? '').split(':').some((folder) => {
    try {
      accessSync(`${folder}/${command}`, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

const missingTools = () => Object.keys(packages).filter((command) => !isOnPath(command));

function aptGet(...args) {
  // iperf3's package asks whether it may start a server.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const done = spawnSync('apt-get', ['-q', ...args], { env, stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });
  return done.error ? String(done.error) : done.status === 0 ? undefined : done.stderr.trim();
}

/** Why they are still missing afterwards; nothing when all are there. */
function installMissing() {
  const missing = missingTools();
  if (missing.length === 0) return undefined;
  const wanted = missing.map((command) => packages[command]);
  if (process.getuid?.() !== 0) return `${missing.join(', ')} (as root: apt-get install ${wanted.join(' ')})`;
  if (!isOnPath('apt-get')) return `${missing.join(', ')}; there is no apt-get to install them with`;
  process.stderr.write(`coral: installing ${wanted.join(', ')} for the tests against a foreign WireGuard …\n`);
  const options = ['install', '--yes', '--no-install-recommends', ...wanted];
  // The list of packages may be missing or old; only then is it fetched.
  const failed = aptGet(...options) && (aptGet('update') ?? aptGet(...options));
  const still = missingTools();
  return still.length > 0 ? `${still.join(', ')}; apt-get said: ${failed || 'nothing'}` : undefined;
}

/** Installs what can be; ends the process in CI when something is still missing, else says so on stderr. */
export function installTestTools() {
  const lacking = installMissing();
  if (!lacking) return;
  if (process.env.CORAL_REQUIRE_INTEROP === '1') {
    process.stderr.write(`coral: the tests of the mesh need ${lacking}\n`);
    process.exit(1);
  }
  process.stderr.write(`coral: the tests against a foreign WireGuard are skipped: missing ${lacking}\n`);
}
