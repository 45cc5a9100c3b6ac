export { cageLimits, runCaged, type CagedQuery } from './cage.js';
export { gateLimits } from './allowed.js';
export type { CageResult } from './protocol.js';
