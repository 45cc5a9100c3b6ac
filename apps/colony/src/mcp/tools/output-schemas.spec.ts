import { AjvJsonSchemaValidator as Ajv2020 } from '@modelcontextprotocol/client/validators/ajv';
import { AjvJsonSchemaValidator as AjvDraft7 } from '@modelcontextprotocol/sdk/validation/ajv';
import { describe, expect, it } from 'vitest';
import { toolDefinitions, type ToolEnvelope, type ToolName } from '@coral/tools';
import type { AgentCaller } from '../../telemetry/agents.js';
import { answeredBy, Bench, callAt, times, windowAt } from '../../telemetry/testing/fixture.js';

const noon = Date.parse('2026-05-04T12:00:00Z');
const minute = 60_000;
const hour = 60 * minute;

type Verdict = { valid: boolean; errorMessage?: string | undefined };

/** As clients do it: those of 2026 read schemas as JSON Schema 2020-12, the 2025 one reads them as draft-07. */
function verdictsOf(tool: ToolName, body: unknown): Verdict[] {
  const schema = toolDefinitions.find(({ name }) => name === tool)?.outputSchema;
  if (schema === undefined) throw new Error(`${tool} has no output schema`);
  return [new Ajv2020().getValidator(schema)(body), new AjvDraft7().getValidator(schema)(body)];
}

const valid: Verdict[] = [1, 2].map(() => ({
  valid: true,
  errorMessage: undefined,
  data: expect.anything() as unknown,
}));

/** Requests, errors, edges of every kind, a deployment, a restart: something for each tool to tell. */
async function filled(): Promise<Bench> {
  const bench = await Bench.open(noon);
  bench.addAgent('web-1', ['cart', 'billing']);
  bench.addAgent('silent-1', ['cart']);
  const seen = { service: 'cart', host: 'h', firstSeenMs: noon - 9 * minute, lastSeenMs: noon };
  const at = noon - 5 * minute;
  await bench.push('web-1', {
    windows: times(30, 0).flatMap((_, i) => [
      windowAt(noon - (i + 1) * 10_000, { ms: times(9, 40), errors: i % 3 }),
      windowAt(noon - (i + 1) * 10_000, { service: 'billing', version: '' }),
      windowAt(noon - 2 * hour, { ms: [] }),
    ]),
    edges: [
      callAt(at, 'cart', 'billing:8080', { ms: times(4, 30) }),
      callAt(at, 'cart', 'db:5432', { kind: 2, system: 'postgresql', name: 'orders' }),
      callAt(at, 'cart', 'mq:5672', { kind: 3, system: 'rabbitmq', name: 'mails', ms: [] }),
    ],
    links: answeredBy(1, 'cart', 'billing:8080', 'billing', at),
    sightings: [
      { ...seen, version: '1.0.0', instance: 'a' },
      { ...seen, version: '1.1.0', instance: 'b', firstSeenMs: at },
      { ...seen, version: '1.1.0', instance: 'c', firstSeenMs: at + minute },
    ],
  });
  return bench;
}

const live = (rows: unknown[][]): AgentCaller => ({
  runQuery: () =>
    Promise.resolve({
      columns: [{ name: 'n', type: 'BIGINT' }],
      rows,
      truncated: rows.length > 0,
      asOf: noon,
      oldest: rows.length > 0 ? noon - minute : 0,
    }),
});

const questions: [ToolName, Record<string, unknown>][] = [
  ['coral_query', { query: 'latency' }],
  ['coral_query', { query: 'errors by service', time_range: '24h' }],
  ['coral_query', { query: 'cart latency, last 1h, by route' }],
  ['coral_query', { query: 'latency of cart by time' }],
  ['coral_query', { query: 'cart deployments, last 4h' }],
  ['coral_query', { query: 'SELECT service, requests FROM service_windows' }],
  ['coral_query', { query: 'SELECT 1 WHERE false' }],
  ['coral_fetch_live', { agent_id: 'agt-web-1', sql_query: 'SELECT count(*) AS n FROM spans' }],
  ['coral_get_topology', {}],
  ['coral_get_topology', { format: 'graphviz' }],
  ['coral_query_events', {}],
  ['coral_query_events', { event_type: 'crash' }],
  ['coral_get_health', {}],
];

/** As it goes over the wire. */
const told = (envelope: ToolEnvelope): unknown => JSON.parse(JSON.stringify(envelope));

describe('output schemas', () => {
  it.each(questions)('%s %j answers what its schema promises, with data and without', async (tool, args) => {
    await using bench = await filled();
    const full = told(await bench.call(tool, args, { agentCaller: live([[7], [null]]) }));
    expect(full).toMatchObject({ status: 'ok' });
    expect(verdictsOf(tool, full)).toEqual(valid);

    await using empty = await Bench.open(noon);
    empty.addAgent('web-1');
    // Nothing is known of a service that the question names.
    const words =
      typeof args['query'] === 'string'
        ? { query: args['query'].replaceAll('cart ', '').replaceAll(' of cart', '') }
        : {};
    const nothing = told(await empty.call(tool, { ...args, ...words }, { agentCaller: live([]) }));
    expect(nothing).toMatchObject({ status: 'no_data' });
    expect(verdictsOf(tool, nothing)).toEqual(valid);
  });

  it('take an error for what it is', () => {
    const error = { kind: 'permission_denied', reason: 'missing_permission', message: 'It needs read:live_data.' };
    for (const { name } of toolDefinitions) expect(verdictsOf(name, { error })).toEqual(valid);
  });

  it('refuse what no tool would say', async () => {
    await using bench = await filled();
    for (const [tool, args] of questions) {
      const envelope = await bench.call(tool, args, { agentCaller: live([[7]]) });
      const { coverage: _coverage, ...uncovered } = envelope;
      for (const wrong of [{}, uncovered, { ...envelope, status: 'fine' }, { ...envelope, data: {} }, []]) {
        expect([tool, verdictsOf(tool, wrong).map((verdict) => verdict.valid)]).toEqual([tool, [false, false]]);
      }
    }
  });
});
