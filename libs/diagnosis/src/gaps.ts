import { usablePoints } from './track.js';
import type { Subject } from './symptom.js';
import type { Survey } from './survey.js';
import { counted, labelOf, listed } from './words.js';

/** With less than this only a large change stands out of the noise. */
const fewPoints = 10;
const fewRequests = 200;

/** What could not be seen and might have mattered. `isCalm`: nothing was found, so what hides small changes counts too. */
export function findGaps(survey: Survey, subject: Subject, isCalm: boolean): string[] {
  const { o } = survey;
  const gaps: string[] = [];
  if (o.silentAgents.length > 0) {
    gaps.push(
      `no answer from ${o.silentAgents.length === 1 ? 'agent' : 'agents'} ${listed(o.silentAgents.toSorted(), 10)}`,
    );
  }
  if (subject.stranger !== undefined) {
    gaps.push(`no service is called ${JSON.stringify(subject.stranger.slice(0, 64))}; all services were looked at`);
  }
  const scope = subject.node === undefined ? survey.serviceNames() : [...survey.below(subject.node)];
  const services = scope.filter((id) => survey.node(id).kind === 'service');
  const dark = services.filter((name) => survey.serviceSeries(name).length === 0).toSorted();
  if (dark.length > 0) gaps.push(`no numbers from ${listed(dark)}`);
  const thin = services
    .filter((name) => survey.serviceSeries(name).length > 0 && !survey.isReadable(survey.serviceSeries(name)))
    .toSorted();
  const { node } = subject;
  const series = node === undefined ? [] : survey.serviceSeries(node);
  if (isCalm && node !== undefined && survey.isReadable(series)) {
    const requests = series.reduce((sum, p) => sum + p.requests, 0);
    const few =
      requests < fewRequests
        ? counted(requests, 'request')
        : usablePoints(series) < fewPoints
          ? counted(series.length, 'step')
          : '';
    if (few !== '') gaps.push(`only ${few} of ${labelOf(survey, node)}: a small change would not show`);
  }
  const steps = Math.round((survey.series.to - survey.series.from) / survey.stepMs);
  if (isCalm && node === undefined && steps > 0 && steps < fewPoints) {
    gaps.push(`only ${counted(steps, 'step')} of numbers: a small change would not show`);
  }
  if (thin.length > 0) gaps.push(`too few requests to judge ${listed(thin)}`);
  if (subject.node !== undefined && o.edges.length === 0 && o.dependencySeries.length === 0) {
    gaps.push(`it is not known what ${labelOf(survey, subject.node)} calls`);
  }
  return gaps;
}
