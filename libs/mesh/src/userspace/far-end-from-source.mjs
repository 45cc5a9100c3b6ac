import './worker/source-hooks.mjs';

await import('./far-end.fixture.ts');
