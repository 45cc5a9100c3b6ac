export { diagnose } from './diagnose.js';
export { namesIn, readQuestion } from './question.js';
export { changeRules } from './change-rules.js';
export { timingRules } from './cause.js';
export type { Cause, CauseKind, Diagnosis, Evidence, Observations, Question, Verdict } from './diagnosis.js';
