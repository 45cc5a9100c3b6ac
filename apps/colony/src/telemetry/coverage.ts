import { formatDuration } from '@coral/model';
import type { AgentReport, KnownService, TelemetryView } from '@coral/telemetry-store';
import type { Coverage } from '@coral/tools';
import { labelOf, type AgentInfo } from './agents.js';

/** An agent whose summaries end further before the window's end than this did not answer. */
export const defaultStalenessMs = 30_000;
/** A clock this far off is told. */
const tellSkewMs = 30_000;

export interface CoverageQuestion {
  agents: readonly AgentInfo[];
  reports: readonly AgentReport[];
  services: readonly KnownService[];
  /** Only the agents that know this service matter; absent: all. */
  service?: string | undefined;
  agentId?: string | undefined;
  /** The window asked about, ms. */
  from: number;
  to: number;
  stalenessMs: number;
  /** When a damaged store was set aside, ms. */
  rowsLostMs?: number | undefined;
}

/** Gathers what {@link coverageOf} needs from the same moment of the store as the answer. */
export async function readCoverage(
  view: TelemetryView,
  question: Omit<CoverageQuestion, 'reports' | 'rowsLostMs'>,
): Promise<Covered> {
  return coverageOf({ ...question, reports: await view.agentReports(), rowsLostMs: await view.rowsLostMs() });
}

export interface Covered {
  coverage: Coverage;
  notes: string[];
  /** Labels of silent agents by the services they know, for health. */
  silentByService: ReadonlyMap<string, string[]>;
}

/** Who stands behind an answer, and who is missing. A silent agent is named, never left out. */
export function coverageOf(question: CoverageQuestion): Covered {
  const { reports, stalenessMs, to } = question;
  const reportOf = new Map(reports.map((report) => [report.agentId, report]));
  const knownBy = new Map(question.services.map((service) => [service.name, service.agentIds]));
  const coverage: Coverage = { asked: 0, answered: [], late: [], silent: [], denied: [] };
  const notes: string[] = [];
  if (question.rowsLostMs !== undefined && question.rowsLostMs > question.from) {
    notes.push(
      `the telemetry file was damaged and set aside at ${at(question.rowsLostMs)}: data from before is missing`,
    );
  }
  const silentByService = new Map<string, string[]>();
  for (const agent of relevantAgents(question, knownBy)) {
    coverage.asked += 1;
    const label = labelOf(agent);
    const report = reportOf.get(agent.agentId);
    notes.push(...notesOn(label, report, question));
    const coveredTo = report === undefined ? 0 : coveredUntil(report);
    if (coveredTo >= to - stalenessMs) {
      coverage.answered.push(label);
      continue;
    }
    if (report !== undefined && report.lastReceivedMs >= to - stalenessMs && coveredTo > 0) {
      coverage.late.push(label);
      notes.push(`agent ${label} is catching up: its summaries reach to ${at(coveredTo)} so far`);
      continue;
    }
    coverage.silent.push(label);
    const last = coveredTo > 0 ? `its last summary is from ${at(coveredTo)}` : 'it has never sent a summary';
    notes.push(`silent agent: ${label}; ${last}, so newer data of its services is missing`);
    const itsServices = new Set(agent.services);
    for (const [service, ids] of knownBy) if (ids.includes(agent.agentId)) itsServices.add(service);
    for (const service of itsServices) silentByService.set(service, [...(silentByService.get(service) ?? []), label]);
  }
  return { coverage, notes, silentByService };
}

function relevantAgents(question: CoverageQuestion, knownBy: ReadonlyMap<string, string[]>): readonly AgentInfo[] {
  const { agents, service, agentId } = question;
  if (agentId !== undefined) return agents.filter((agent) => agent.agentId === agentId);
  if (service === undefined) return agents;
  const ids = knownBy.get(service) ?? [];
  const known = agents.filter((agent) => agent.services.includes(service) || ids.includes(agent.agentId));
  // Nobody is known to have it: then anybody might.
  return known.length === 0 ? agents : known;
}

/** In the colony's time: a clock that runs behind makes fresh batches look old. */
function coveredUntil(report: AgentReport): number {
  if (report.skewMs >= -tellSkewMs) return report.coveredToMs;
  return Math.min(report.coveredToMs - report.skewMs, report.lastReceivedMs);
}

function notesOn(label: string, report: AgentReport | undefined, { from }: CoverageQuestion): string[] {
  if (report === undefined) return [];
  const notes = [];
  if (Math.abs(report.skewMs) > tellSkewMs) {
    const direction = report.skewMs > 0 ? 'ahead of' : 'behind';
    const by = formatDuration(Math.abs(report.skewMs));
    notes.push(
      `the clock of agent ${label} was ${by} ${direction} the colony's when it started: its times are shifted`,
    );
  }
  if (report.clampedRows > 0 && report.lastClampedMs >= from) {
    notes.push(
      `agent ${label} sent data from the future (${report.clampedRows} rows in all); it was moved to its arrival`,
    );
  }
  if (report.refusedRows > 0 && report.lastRefusedMs >= from) {
    notes.push(
      `of agent ${label}, ${report.refusedRows} rows in all were refused, last for: ${report.lastRefusedReason}`,
    );
  }
  return notes;
}

function at(ms: number): string {
  return new Date(ms).toISOString();
}
