import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

/** A program with all it imports in one file, which anybody may read: to be run by a plain Node, gone when disposed. */
export interface Bundle {
  file: string;
  [Symbol.dispose](): void;
}

/** Of a program in this folder. */
export async function bundle(program: string): Promise<Bundle> {
  const folder = mkdtempSync(join(tmpdir(), 'coral-bundle-'));
  chmodSync(folder, 0o755);
  const build = await rolldown({
    input: fileURLToPath(new URL(program, import.meta.url)),
    platform: 'node',
    tsconfig: fileURLToPath(new URL('../../../tsconfig.json', import.meta.url)),
  });
  const file = join(folder, 'program.js');
  await build.write({ file, format: 'esm' });
  await build.close();
  return { file, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}
