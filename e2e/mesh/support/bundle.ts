import { chmodSync, constants, copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

/**
 * A program with all it imports in one file, and a Node to run it: in a folder that anybody may read, as a home directory may
 * not be. Gone when disposed.
 */
export interface Bundle {
  file: string;
  node: string;
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
  const node = join(folder, 'node');
  copyFileSync(process.execPath, node, constants.COPYFILE_FICLONE);
  chmodSync(node, 0o755);
  return { file, node, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}
