import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const file = fileURLToPath(new URL('install-test-tools.mjs', import.meta.url));
const call = `import(${JSON.stringify(file)}).then((tools) => tools.installTestTools())`;

/** On a machine with nothing on its PATH, apt-get neither. */
function onBareMachine(env: Record<string, string>) {
  return spawnSync(process.execPath, ['-e', call], { encoding: 'utf8', env: { PATH: '/nowhere', ...env } });
}

it('says what is missing and lets the tests run without it', () => {
  const { status, stderr } = onBareMachine({});
  expect(stderr).toMatch(/^coral: the tests against a foreign WireGuard are skipped: missing wireguard-go, wg, ip/);
  expect(status).toBe(0);
});

it('fails where nothing may be skipped', () => {
  const { status, stderr } = onBareMachine({ CORAL_REQUIRE_INTEROP: '1' });
  expect(stderr).toMatch(/^coral: the tests of the mesh need wireguard-go, wg, ip/);
  expect(status).toBe(1);
});
