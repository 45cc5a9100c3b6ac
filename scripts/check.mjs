// All that must hold before a change lands: the static checks side by side, then the tests.
import { spawn } from 'node:child_process';

const checks = {
  lint: ['oxlint', '--type-aware', '.'],
  format: ['oxfmt', '--check', '.'],
  types: ['node', 'node_modules/tsc7/bin/tsc', '-p', 'tsconfig.json', '--noEmit'],
  layers: [
    'depcruise',
    '--config',
    '.dependency-cruiser.cjs',
    '--output-type',
    'err-long',
    'apps',
    'libs',
    'scripts',
    'e2e',
  ],
  'generated code': ['node', 'scripts/check-generated.mjs'],
  'wire format': ['buf', 'lint'],
  'supply chain': ['node', 'scripts/check-supply-chain.mjs'],
  docs: ['node', 'scripts/check-docs.mjs'],
};

function run([command, ...args]) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    child.stdout.on('data', (chunk) => (text += chunk));
    child.stderr.on('data', (chunk) => (text += chunk));
    child.on('error', (error) => resolve({ ok: false, text: String(error) }));
    child.on('close', (code) => resolve({ ok: code === 0, text }));
  });
}

let failed = false;
for (const [name, command] of Object.entries(checks)) {
  const started = Date.now();
  const { ok, text } = await run(command);
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
  if (!ok) {
    console.log(text.trimEnd());
    failed = true;
  }
}
if (failed) process.exit(1);
await import('./test.mjs');
