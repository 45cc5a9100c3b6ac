// Generates the code of proto/ again, beside the committed one, and compares.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const fresh = mkdtempSync(join(tmpdir(), 'coral-gen-'));
try {
  const template = readFileSync('buf.gen.yaml', 'utf8').replace('libs/rpc/src/gen', fresh);
  const templateFile = join(fresh, 'buf.gen.yaml');
  writeFileSync(templateFile, template.replace('clean: true\n', ''));
  const made = spawnSync('buf', ['generate', '--template', templateFile], { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(made.stderr);
  rmSync(templateFile);
  const compared = spawnSync('diff', ['-r', 'libs/rpc/src/gen', fresh], { encoding: 'utf8' });
  if (compared.status !== 0) {
    console.error(
      `${compared.stdout.slice(0, 2_000)}\nGenerated code is stale: run \`npx buf generate\` and commit libs/rpc/src/gen.`,
    );
    process.exitCode = 1;
  }
} finally {
  rmSync(fresh, { recursive: true, force: true });
}
