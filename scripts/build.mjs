// Bundles every program into dist/. Sources whose program does not exist are an error: the list is rolldown.config.mjs.
import { rmSync } from 'node:fs';
import { rolldown } from 'rolldown';
import config from '../rolldown.config.mjs';

const { output, ...input } = config;
rmSync('dist', { recursive: true, force: true });
const bundle = await rolldown({ ...input, logLevel: 'warn' });
const { output: files } = await bundle.write(output);
await bundle.close();
process.stderr.write(`coral: built ${files.filter((file) => file.isEntry).length} programs\n`);
