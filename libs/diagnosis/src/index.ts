export type { Cause, CauseKind, Diagnosis, Evidence, Observations, Question, Verdict } from './diagnosis.js';
