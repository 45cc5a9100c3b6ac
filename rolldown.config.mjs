import { globSync } from 'node:fs';

const commands = globSync('apps/cli/src/commands/**/*.ts', { exclude: (path) => path.endsWith('.spec.ts') });

const benches = globSync('scripts/bench/*.ts', { exclude: (path) => path.endsWith('.spec.ts') });
const entries = (paths, from, to) => paths.map((path) => [path.replace(from, to).replace(/\.ts$/, ''), path]);

/** Every program of the project; dependencies stay outside, our own code is bundled. */
export default {
  input: {
    colony: 'apps/colony/src/main.ts',
    agent: 'apps/agent/src/main.ts',
    'sql-cage': 'libs/sql-gate/src/cage-child.ts',
    'mesh-worker': 'libs/mesh/src/userspace/worker/main.ts',
    demo: 'scripts/demo/main.ts',
    'cli/coral': 'apps/cli/src/coral.ts',
    ...Object.fromEntries(entries(commands, 'apps/cli/src/', 'cli/')),
    ...Object.fromEntries(entries(benches, 'scripts/bench/', 'bench/')),
  },
  platform: 'node',
  tsconfig: 'tsconfig.json',
  // The oxc helper must be inside: nothing provides it at run time.
  external: (id) => !/^(\.|\/|\0|@coral\/|@oxc-project\/runtime)/.test(id),
  output: {
    dir: 'dist',
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: 'chunks/[name]-[hash].js',
    sourcemap: true,
    cleanDir: false,
  },
};
