import type { Injection } from './injection.js';
import { wantingCalls } from './wanting-calls.js';
import { wantingWords } from './wanting-words.js';

export type { Injection, InjectionGoal, InjectionPlace } from './injection.js';

/** Fifty, as data: for logs, span names, hostnames and events of a system under test. Hosts in them are reserved names. */
export const injections: readonly Injection[] = [...wantingCalls, ...wantingWords];
