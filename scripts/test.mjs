// Runs all tests and ends with one plain line: `N passed, N failed, N skipped`.
import { startVitest } from 'vitest/node';
import { installTestTools } from './install-test-tools.mjs';

const only = process.argv.slice(2);
if (only.length === 0 || only.some((filter) => filter.includes('mesh'))) installTestTools();
const vitest = await startVitest('test', only, {
  watch: false,
  run: true,
  reporters: ['default', new URL('summary-reporter.mjs', import.meta.url).pathname],
});
await vitest?.close();
