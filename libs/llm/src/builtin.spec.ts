import { understand } from '@coral/telemetry-store';
import { toolDefinitions, type ToolEnvelope } from '@coral/tools';
import { describe, expect, it } from 'vitest';
import { intentOf, rangeIn, rangeText } from './builtin/intent.js';
import { BuiltinProvider } from './builtin.js';
import { converse, type Conversation } from './conversation.js';
import {
  at,
  badDeploy,
  envelope,
  ScriptedColony,
  series,
  slowPayment,
  stepMs,
  type Script,
} from './spec-support/scripted-colony.js';

const budget = { maxSteps: 24, maxToolCalls: 60, maxSeconds: 60 };

async function ask(
  question: string,
  script: Script,
  tools = toolDefinitions,
): Promise<{ conversation: Conversation; colony: ScriptedColony; streamed: string }> {
  const colony = new ScriptedColony(script);
  let streamed = '';
  const conversation = await converse({
    provider: new BuiltinProvider(),
    question,
    tools,
    budget,
    signal: new AbortController().signal,
    callTool: colony.callTool,
    onEvent: (event) => {
      if (event.type === 'text') streamed += event.text;
    },
  });
  return { conversation, colony, streamed };
}

function queries({ calls }: ScriptedColony): string[] {
  return calls.filter((call) => call.name === 'coral_query').map((call) => String(call.args['query']));
}

describe('why is it slow', () => {
  it('is answered with the deployment, after health, topology, numbers and events', async () => {
    const { conversation, colony, streamed } = await ask('Why is checkout slow?', slowPayment());
    expect(colony.calls.map((call) => call.name)).toEqual([
      'coral_get_health',
      'coral_get_topology',
      'coral_query',
      'coral_query',
      'coral_query_events',
    ]);
    expect(conversation.diagnosis?.cause).toMatchObject({ service: 'payment', kind: 'deploy', version: '1.4.0' });
    expect(conversation.answer).toMatch(
      /^payment 1\.4\.0, deployed at 14:35:01 UTC, made checkout slow: p95 15\d → 4\d\d ms since 14:35:00 UTC\./,
    );
    expect(streamed).toBe(conversation.answer);
    expect(conversation).toMatchObject({
      verdict: 'CONFIRMED',
      partial: false,
      unsupported: [],
      usage: { inputTokens: 0, outputTokens: 0 },
      costUsd: 0,
      silentAgents: [],
    });
    expect(
      new Set(conversation.turns.flatMap((t) => (t.role === 'assistant' ? t.toolCalls.map((c) => c.id) : []))).size,
    ).toBe(5);
  });

  it('asks in words that the colony understands, and for the fitting numbers', async () => {
    const { colony } = await ask('Why is checkout slow?', slowPayment());
    const around = { services: ['checkout', 'payment'], agents: [], timeRange: '1h' };
    expect(queries(colony).map((query) => understand(query, around))).toMatchObject([
      { kind: 'metrics', by: ['service', 'time'], rangeMs: 900_000, stepMs },
      { kind: 'metrics', by: ['service', 'dependency', 'time'], rangeMs: 900_000, stepMs },
    ]);
  });

  it('looks further back when the question names a time and the last minutes show no change', async () => {
    const script = slowPayment(90);
    const longer: Script = {
      ...script,
      coral_query: (args) => {
        const short = script.coral_query(args) as ToolEnvelope;
        if (!String(args['query']).includes('last 4h')) return short;
        const rows = String(args['query']).startsWith('dependency')
          ? series({ service: 'checkout', dependency: 'payment' }, 62, 362, 120, 240)
          : [
              ...series({ service: 'checkout' }, 150, 450, 120, 240),
              ...series({ service: 'payment' }, 60, 360, 120, 240),
            ];
        return envelope({ kind: 'metrics', canonical: '', step_ms: stepMs, rows });
      },
      coral_query_events: () => envelope({ events: [{ ...badDeploy, at: at(1_199_000) }] }),
    };
    const { conversation, colony } = await ask('Why was checkout slow in the last 4h?', longer);
    expect(queries(colony)).toEqual([
      'latency by service by time, last 15m',
      'dependency latency by service by dependency by time, last 15m',
      'latency by service by time, last 4h',
      'dependency latency by service by dependency by time, last 4h',
    ]);
    expect(conversation.diagnosis?.cause).toMatchObject({ service: 'payment', kind: 'deploy' });
  });

  it('looks back four hours by itself when someone is ill and it does not show since when', async () => {
    const { colony } = await ask('Why is checkout slow?', slowPayment(90));
    expect(queries(colony).some((query) => query.endsWith('last 4h'))).toBe(true);
  });

  it('asks again with longer steps when the colony had to leave out most of the window', async () => {
    const script = slowPayment();
    const cut: Script = {
      ...script,
      coral_query: (args) => {
        const whole = script.coral_query(args) as ToolEnvelope<{
          kind: 'metrics';
          canonical: string;
          rows: { start?: string }[];
        }>;
        if (String(args['query']).includes('step 1m')) return whole as ToolEnvelope;
        const newest = whole.data.rows
          .map((row) => row.start as string)
          .toSorted()
          .at(-5) as string;
        const rows = whole.data.rows.filter((row) => (row.start as string) > newest);
        return { ...whole, data: { ...whole.data, rows }, truncation: { truncated: true } } as ToolEnvelope;
      },
    };
    const { conversation, colony } = await ask('Why is checkout slow?', cut);
    expect(queries(colony).at(-1)).toBe('dependency latency by service by dependency by time, last 15m, step 1m');
    for (const query of queries(colony))
      expect(() => understand(query, { services: ['checkout'], agents: [], timeRange: '1h' })).not.toThrow();
    expect(conversation.diagnosis?.cause).toMatchObject({ service: 'payment' });
  });
});

describe('what may not be seen', () => {
  it('is named, and the answer goes on with the rest', async () => {
    const { conversation } = await ask('Why is checkout slow?', {
      ...slowPayment(),
      coral_query_events: () => ({ refused: 'You lack read:events.' }),
    });
    expect(conversation.diagnosis?.cause).toMatchObject({ kind: 'database' });
    expect(conversation.verdict).toBe('LIKELY');
    expect(conversation.answer).toContain('You lack read:events');
    expect(conversation.diagnosis?.gaps).toContain('You lack read:events');
  });

  it('is not asked for when the tool is not offered', async () => {
    const tools = toolDefinitions.filter((tool) => tool.name !== 'coral_query_events');
    const { conversation, colony } = await ask('Why is checkout slow?', slowPayment(), tools);
    expect(colony.calls.map((call) => call.name)).not.toContain('coral_query_events');
    expect(conversation.answer).toContain('the tools coral_query_events are not open to you');
  });

  it('is said plainly when it is everything', async () => {
    const refuse = (permission: string) => () => ({ refused: `You lack ${permission}.` });
    const { conversation } = await ask('Why is checkout slow?', {
      coral_get_health: refuse('read:health'),
      coral_get_topology: refuse('read:topology'),
      coral_query: refuse('read:metrics'),
      coral_query_events: refuse('read:events'),
    });
    expect(conversation).toMatchObject({ verdict: 'INCONCLUSIVE', partial: false });
    expect(conversation.answer).toMatch(/^Nothing could be looked at\./);
    for (const permission of ['read:health', 'read:topology', 'read:metrics', 'read:events'])
      expect(conversation.answer).toContain(permission);
    const none = await ask('Why is checkout slow?', {}, []);
    expect(none.conversation.answer).toContain('no tool is open to you');
    expect(none.colony.calls).toEqual([]);
  });

  it('includes silent agents, in the answer and beside it', async () => {
    const script = slowPayment();
    const { conversation } = await ask('Why is checkout slow?', {
      ...script,
      coral_get_topology: (args) => ({
        ...(script.coral_get_topology(args) as ToolEnvelope),
        coverage: { asked: 2, answered: ['one'], late: [], silent: ['two'], denied: [] },
      }),
    });
    expect(conversation.silentAgents).toEqual(['two']);
    expect(conversation.answer).toContain('no answer from agent two');
  });

  it('is no data, and not health, when nothing has reported yet', async () => {
    const none = { status: 'no_data' as const, notes: ['no agent has reported anything yet'] };
    const { conversation } = await ask('Why is checkout slow?', {
      coral_get_health: () => envelope({ services: [] }, none),
      coral_get_topology: () => envelope({ format: 'json', nodes: [], edges: [] }, none),
      coral_query: () => envelope({ kind: 'metrics', canonical: '', rows: [] }, none),
      coral_query_events: () => envelope({ events: [] }, none),
    });
    expect(conversation).toMatchObject({ verdict: 'INCONCLUSIVE', diagnosis: { cause: null } });
    expect(conversation.answer).toContain('no data');
    expect(conversation.answer).not.toMatch(/nothing is wrong|healthy/i);
  });
});

describe('questions that one tool answers', () => {
  it.each([
    ['Show me recent deployments', 'coral_query_events', 'payment 1.4.0 deployed'],
    ['What happened today?', 'coral_query_events', 'There was 1 event'],
    ['what calls payment', 'coral_get_topology', 'payment is called by checkout.'],
    ['what does payment depend on', 'coral_get_topology', 'payment calls orders (postgresql).'],
    ['Is production healthy?', 'coral_get_health', 'checkout is degraded: p95 450 ms against 150 ms.'],
  ])('%s', async (question, tool, said) => {
    const { conversation, colony } = await ask(question, slowPayment());
    expect(colony.calls.map((call) => call.name)).toEqual([tool]);
    expect(conversation.answer).toContain(said);
    expect(conversation).toMatchObject({ verdict: 'CONFIRMED', unsupported: [], partial: false });
  });

  it('says what it cannot do', async () => {
    const { conversation, colony } = await ask('Compare prod vs staging latency', slowPayment());
    expect(conversation.answer).toContain('cannot compare');
    expect(colony.calls).toEqual([]);
  });

  it('says why the one tool did not answer', async () => {
    const { conversation } = await ask('Show me recent deployments', {
      coral_query_events: () => ({ refused: 'You lack read:events.' }),
    });
    expect(conversation.answer).toContain('You lack read:events.');
    expect(conversation.verdict).toBe('INCONCLUSIVE');
  });
});

describe('reading a question', () => {
  it.each([
    ['Why is checkout slow since the deployment?', 'diagnosis'],
    ['checkout deployments, last 4h', 'deployments'],
    ['any restarts?', 'events'],
    ['Is everything fine?', 'health'],
    ['show the dependency graph', 'topology'],
    ['checkout', 'diagnosis'],
  ])('%s is %s', (question, intent) => {
    expect(intentOf(question)).toBe(intent);
  });

  it('finds the time it names', () => {
    expect(rangeIn('in the last 4h')).toBe(4 * 3_600_000);
    expect(rangeIn('over the past 30 minutes')).toBe(1_800_000);
    expect(rangeIn('since yesterday')).toBe(2 * 86_400_000);
    expect(rangeIn('in the last hour')).toBe(3_600_000);
    expect(rangeIn('Why is checkout slow?')).toBeUndefined();
    expect([900_000, 5_400_000, 4 * 3_600_000, 2 * 86_400_000].map(rangeText)).toEqual(['15m', '90m', '4h', '2d']);
  });
});
