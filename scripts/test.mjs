// Runs all tests and ends with one plain line: `N passed, N failed, N skipped`.
import { startVitest } from 'vitest/node';

const only = process.argv.slice(2);
const vitest = await startVitest('test', only, {
  watch: false,
  run: true,
  reporters: ['default', new URL('summary-reporter.mjs', import.meta.url).pathname],
});
await vitest?.close();
