import type { Clock } from '@coral/model';
import { runCaged } from '@coral/sql-gate';
import { healthRules, type HealthRules, type TelemetryStore } from '@coral/telemetry-store';
import type { AgentCaller, AgentDirectory } from '../../telemetry/agents.js';
import { defaultStalenessMs } from '../../telemetry/coverage.js';

export interface SqlLimits {
  maxRows: number;
  /** Of the rows as JSON. */
  maxBytes: number;
  timeoutMs: number;
}

export interface ToolDeps {
  store: TelemetryStore;
  clock: Clock;
  agents: AgentDirectory;
  agentCaller: AgentCaller;
  /** Runs a stranger's SELECT on a file that holds published tables only; replaced in specs. */
  runCaged?: typeof runCaged;
  /** An agent whose summaries end further before the window's end did not answer, ms. */
  stalenessMs?: number;
  health?: HealthRules;
  sql?: SqlLimits;
}

export const sqlLimits: SqlLimits = { maxRows: 1_000, maxBytes: 512_000, timeoutMs: 5_000 };

export function withDefaults(deps: ToolDeps): Required<ToolDeps> {
  return {
    ...deps,
    runCaged: deps.runCaged ?? runCaged,
    stalenessMs: deps.stalenessMs ?? defaultStalenessMs,
    health: deps.health ?? healthRules,
    sql: deps.sql ?? sqlLimits,
  };
}
