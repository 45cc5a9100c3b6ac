import type { Diagnosis } from '../diagnosis.js';
import { diagnose } from '../diagnose.js';
import { generateIncident, incidentKinds, type Incident, type IncidentKind } from './generate.js';

export interface Score {
  asked: number;
  right: number;
  /** A cause was named although nothing was wrong. */
  falseBlame: number;
  calm: number;
  byKind: Record<IncidentKind, { asked: number; right: number }>;
  misses: { incident: Incident; diagnosis: Diagnosis }[];
}

export function isRight({ truth }: Incident, { cause }: Diagnosis): boolean {
  if (truth === null) return cause === null;
  return (
    cause !== null && cause.service === truth.service && cause.kind === truth.kind && cause.version === truth.version
  );
}

/** Asks about the incidents of the seeds `[first, first + count)` and compares the answers with what was done to them. */
export function scoreIncidents(first: number, count: number): Score {
  const byKind = Object.fromEntries(incidentKinds.map((kind) => [kind, { asked: 0, right: 0 }])) as Score['byKind'];
  const score: Score = { asked: count, right: 0, falseBlame: 0, calm: 0, byKind, misses: [] };
  for (let seed = first; seed < first + count; seed += 1) {
    const incident = generateIncident(seed);
    const diagnosis = diagnose(incident.question, incident.observations);
    const right = isRight(incident, diagnosis);
    byKind[incident.kind].asked += 1;
    score.calm += incident.truth === null ? 1 : 0;
    score.falseBlame += incident.truth === null && diagnosis.cause !== null ? 1 : 0;
    if (right) {
      score.right += 1;
      byKind[incident.kind].right += 1;
    } else score.misses.push({ incident, diagnosis });
  }
  return score;
}
