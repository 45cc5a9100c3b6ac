import {
  canonicalOf,
  understand,
  type EventsQuestion,
  type MetricsQuestion,
  type TelemetryView,
} from '@coral/telemetry-store';
import type { QueryArgs, QueryData, ToolContext, ToolEnvelope, ToolHandler } from '@coral/tools';
import { answerMetrics } from '../../telemetry/answer-metrics.js';
import { readCoverage, type Covered } from '../../telemetry/coverage.js';
import { envelope } from '../../telemetry/envelope.js';
import { answerWindow, type AnswerWindow } from '../../telemetry/window.js';
import { answerEvents } from '../../telemetry/answer-events.js';
import { withDefaults, type ToolDeps } from './tool-deps.js';

/** SQL is known by its first word; everything else is plain words. The two that list and describe views are answered too. */
const sqlStart = /^\s*(?:(?:select|with|from)\b|(?:describe|desc)\s+\w+\s*;?\s*$|show\s+(?:all\s+)?tables\s*;?\s*$)/i;

/** Numbers and events, asked in plain words or in SQL over the published views. See docs/query-language.md. */
export class QueryTool implements ToolHandler<'coral_query'> {
  readonly name = 'coral_query';
  readonly #deps: Required<ToolDeps>;

  constructor(deps: ToolDeps) {
    this.#deps = withDefaults(deps);
  }

  async run(args: QueryArgs, context: ToolContext): Promise<ToolEnvelope<QueryData>> {
    if (sqlStart.test(args.query)) return await this.#sql(args, context);
    return await this.#deps.store.read((view) => this.#words(view, args, context), context.signal);
  }

  async #words(view: TelemetryView, args: QueryArgs, { now }: ToolContext): Promise<ToolEnvelope<QueryData>> {
    const services = await view.services();
    const question = understand(args.query, {
      services: services.map((service) => service.name),
      agents: this.#deps.agents.list(),
      scope: args.scope,
      timeRange: args.time_range,
    });
    const dataBegin = await view.dataBegin();
    const { window } = answerWindow(now, question.rangeMs, dataBegin);
    const covered = await readCoverage(view, {
      agents: this.#deps.agents.list(),
      services,
      service: question.service,
      agentId: question.agentId,
      from: window.from,
      to: window.to,
      stalenessMs: this.#deps.stalenessMs,
    });
    if (question.kind === 'events') return await this.#events(view, question, now, covered);
    return await this.#metrics(view, question, now, dataBegin, covered);
  }

  async #metrics(
    view: TelemetryView,
    question: MetricsQuestion,
    now: number,
    dataBegin: number | undefined,
    covered: Covered,
  ): Promise<ToolEnvelope<QueryData>> {
    const answer = await answerMetrics(view, question, now, dataBegin);
    const { rows, window, newest, truncation } = answer;
    return envelope({
      data: {
        kind: 'metrics',
        canonical: canonicalOf(question),
        ...(question.stepMs === undefined ? {} : { step_ms: question.stepMs }),
        rows,
      },
      status: rows.length === 0 ? 'no_data' : 'ok',
      ...times(window, now),
      newest,
      coverage: covered.coverage,
      notes: [...(rows.length === 0 ? [nothingBecause(dataBegin)] : []), ...answer.notes, ...covered.notes],
      truncation,
    });
  }

  async #events(
    view: TelemetryView,
    question: EventsQuestion,
    now: number,
    covered: Covered,
  ): Promise<ToolEnvelope<QueryData>> {
    const answer = await answerEvents(view, question, now);
    return envelope({
      data: { kind: 'events', canonical: canonicalOf(question), events: answer.events },
      status: answer.status,
      from: answer.from,
      to: now,
      now,
      newest: answer.newest,
      coverage: covered.coverage,
      notes: [...answer.notes, ...covered.notes],
      truncation: answer.truncation,
    });
  }

  async #sql(args: QueryArgs, { now, signal }: ToolContext): Promise<ToolEnvelope<QueryData>> {
    const { store, agents, stalenessMs, sql: limits, runCaged } = this.#deps;
    using snapshot = await store.snapshot();
    const table = await runCaged({
      snapshot: snapshot.file,
      views: snapshot.views,
      sql: args.query,
      ...limits,
      signal,
    });
    const { dataBegin, covered } = await store.read(
      async (view) => ({
        dataBegin: await view.dataBegin(),
        covered: await readCoverage(view, {
          agents: agents.list(),
          services: await view.services(),
          from: snapshot.from,
          to: snapshot.asOf,
          stalenessMs,
        }),
      }),
      signal,
    );
    const notes = ['SQL reads a copy of the published views; scope and time_range do not apply to it: use WHERE'];
    return envelope({
      data: { kind: 'table', columns: table.columns, rows: table.rows },
      status: dataBegin === undefined ? 'no_data' : 'ok',
      from: Math.max(snapshot.from, dataBegin ?? snapshot.from),
      to: snapshot.asOf,
      now,
      newest: dataBegin === undefined ? null : snapshot.asOf,
      coverage: covered.coverage,
      notes: [...notes, ...covered.notes],
      truncation: table.truncated
        ? { truncated: true, note: `only the first ${table.rows.length} rows are shown; aggregate or add LIMIT` }
        : { truncated: false },
    });
  }
}

function times(window: AnswerWindow, now: number): { from: number; to: number; now: number } {
  return { from: window.from, to: window.to, now };
}

function nothingBecause(dataBegin: number | undefined): string {
  return dataBegin === undefined
    ? 'no data: no agent has reported anything yet'
    : 'no data: no request of this kind was seen in this window';
}
