import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../../../node_modules/.cache/coral', import.meta.url));

export interface BuiltWireGuardGo {
  binary: string;
  /** As it says itself; a ratio to wireguard-go means nothing without it. */
  version: string;
}

/**
 * The newest wireguard-go, built once with the Go on the PATH and kept beside the dependencies: benchmarks show it next to
 * Debian's, which is years older and slower. A text says why there is none; no test may need it.
 */
export function currentWireGuardGo(): BuiltWireGuardGo | string {
  const binary = join(folder, 'wireguard-go');
  if (!existsSync(binary)) {
    const problem = build(binary);
    if (problem) return problem;
  }
  const said = spawnSync(binary, ['--version'], { encoding: 'utf8' });
  const version = /^wireguard-go (\S+)/.exec(said.stdout)?.[1];
  return version ? { binary, version } : `${binary} does not say its version: ${said.stderr}`;
}

function build(binary: string): string | undefined {
  mkdirSync(folder, { recursive: true });
  const done = spawnSync('go', ['install', 'golang.zx2c4.com/wireguard@latest'], {
    encoding: 'utf8',
    env: { ...process.env, GOBIN: folder, CGO_ENABLED: '0' },
    timeout: 300_000,
  });
  if (done.error) return `go: ${done.error.message}`;
  if (done.status !== 0) return `go install: ${done.stderr.trim()}`;
  // Go names it after the last part of the module's path.
  renameSync(join(folder, 'wireguard'), binary);
  return undefined;
}
