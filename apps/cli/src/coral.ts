import { enableCompileCache } from 'node:module';
import { version } from './version.js';

enableCompileCache();
// Before anything heavy: scripts ask for the version often.
if (process.argv[2] === '--version') {
  process.stdout.write(`coral/${version} ${process.platform}-${process.arch} node-${process.version}\n`);
} else {
  // Imported here and not above: a static import would be compiled before the cache is on.
  void import('./main.js').then(({ main }) => main(process.argv.slice(2), import.meta.dirname));
}
