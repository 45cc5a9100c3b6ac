// The worker, run from its sources: for tests.
import './source-hooks.mjs';

await import('./main.ts');
