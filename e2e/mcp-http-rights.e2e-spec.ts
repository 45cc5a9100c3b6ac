import { Agent, request } from 'node:http';
import type { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { parsePolicy } from '@coral/policy';
import { toolNames, type ToolName } from '@coral/tools';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commonHeaders, modernHeaders, type HttpAnswer, type HttpEntrance } from './support/http-entrance.js';
import { jsonRpc, toolCall } from './support/start-colony.js';
import { TwoDoors, type Caller } from './support/two-doors.js';
import type { UserId } from '@coral/model';
import type { Permission } from '@coral/model';

type Json = Record<string, unknown>;

const required: Record<ToolName, Permission> = {
  coral_query: 'read:metrics',
  coral_fetch_live: 'read:live_data',
  coral_get_topology: 'read:topology',
  coral_query_events: 'read:events',
  coral_get_health: 'read:health',
};
const args: Record<ToolName, Json> = {
  coral_query: { query: 'errors by service' },
  coral_fetch_live: { agent_id: 'agt-aaaaaaaaaaaaaaaa', sql_query: 'SELECT count(*) FROM spans' },
  coral_get_topology: {},
  coral_query_events: {},
  coral_get_health: {},
};

/** One role for each tool, one for all, one for none of them: what they may do is read back from the policy itself. */
const policyText = `version: 1
roles:
${toolNames.map((tool) => `  only_${tool}: { permissions: ["${required[tool]}"] }`).join('\n')}
  everything: { permissions: [${Object.values(required).map((one) => `"${one}"`)}] }
  leases: { permissions: ["manage:leases"] }
bindings:
${toolNames.map((tool) => `  - { role: only_${tool}, users: [${tool}_user] }`).join('\n')}
  - { role: everything, users: [all_user] }
  - { role: leases, users: [none_user] }
`;
const users = [...toolNames.map((tool) => `${tool}_user`), 'all_user', 'none_user', 'admin'];

const resultOf = (answer: HttpAnswer): Json => (answer.messages[0] as { result: Json }).result;

describe('what a caller may do over HTTP', () => {
  let doors: TwoDoors;
  const callers = new Map<string, Caller>();
  const named = (user: string): Caller => callers.get(user) as Caller;

  beforeAll(async () => {
    doors = await TwoDoors.start({ policy: policyText });
    for (const user of users) callers.set(user, await doors.caller(user));
  });

  afterAll(async () => {
    for (const caller of callers.values()) await caller[Symbol.asyncDispose]();
    await doors.colony.mustVerify();
    await doors[Symbol.asyncDispose]();
  });

  const policy = parsePolicy(policyText, 'policy.yaml');
  const may = (user: string, tool: ToolName): boolean =>
    policy.decide({ userId: user as UserId }, required[tool]).allowed;

  /** Every way to call a tool, and what it says: denied for a lack of permission, or not. */
  const transports: [string, (caller: Caller, message: Json) => Promise<Json>][] = [
    ['HTTP modern, mesh', async ({ mesh }, message) => resultOf(await mesh.modern(message))],
    ['HTTP legacy, mesh', async ({ mesh }, message) => resultOf(await mesh.legacy(message))],
    ['HTTP modern, public', async ({ public: open }, message) => resultOf(await open.modern(message))],
    ['HTTP legacy, public', async ({ public: open }, message) => resultOf(await open.legacy(message))],
    ['gRPC', async ({ lease }, message) => (await lease.exchange(message))[0]?.['result'] as Json],
  ];

  it.each(transports)('item 9: is what the policy says, role by tool: %s', async (_name, call) => {
    const found: string[] = [];
    const expected: string[] = [];
    for (const user of users) {
      for (const tool of toolNames) {
        const result = await call(named(user), toolCall(tool, args[tool]));
        const { error } = result['structuredContent'] as { error?: { reason: string } };
        found.push(`${user} ${tool} ${error?.reason === 'missing_permission' ? 'denied' : 'allowed'}`);
        expected.push(`${user} ${tool} ${may(user, tool) ? 'allowed' : 'denied'}`);
      }
    }
    expect(found).toEqual(expected);
    expect(expected.filter((line) => line.endsWith('allowed'))).toHaveLength(10);
  });

  it.each(transports)('item 10: lists what the caller may call and nothing else, privately: %s', async (name, call) => {
    for (const user of users) {
      const result = await call(named(user), jsonRpc('tools/list'));
      const listed = (result['tools'] as { name: string }[]).map((tool) => tool.name);
      expect([user, listed]).toEqual([user, toolNames.filter((tool) => may(user, tool))]);
      expect(JSON.stringify(result)).not.toContain('"public"');
      if (!name.includes('legacy')) expect(result).toMatchObject({ cacheScope: 'private' });
    }
  });

  describe('item 11: a token may be limited to a scope', () => {
    it('in words of the policy; there is none for everything', async () => {
      const { person } = named('all_user');
      for (const scope of ['*', 'all', 'read:*', 'read:health admin', 'READ:HEALTH', 'read:health  read:events']) {
        const { status, text: said } = await doors.exchange({ subject_token: person.token, scope });
        expect([scope, status, JSON.parse(said)]).toEqual([
          scope,
          400,
          expect.objectContaining({ error: 'invalid_scope' }),
        ]);
      }
      const { text: said } = await doors
        .stranger()
        .send({ method: 'GET', path: '/.well-known/oauth-protected-resource' });
      expect(JSON.parse(said)).toMatchObject({ scopes_supported: Object.values(required) });
    });

    it('and then 403 names what the call needs, once: the next token does, or no token would', async () => {
      const { person, public: open } = named('all_user');
      const narrow = open.with(await doors.token(person, { scope: 'read:health' }));
      expect(resultOf(await narrow.modern(jsonRpc('tools/list')))).toMatchObject({
        tools: [{ name: 'coral_get_health' }],
      });
      expect((await narrow.modern(toolCall('coral_get_health'))).status).toBe(200);
      const refused = await narrow.modern(toolCall('coral_get_topology'));
      expect(refused).toMatchObject({
        status: 403,
        headers: {
          'www-authenticate': expect.stringMatching(
            /^Bearer error="insufficient_scope", scope="read:topology", resource_metadata="https:.*\/oauth-protected-resource\/mcp"$/,
          ),
        },
        messages: [{ error: { data: { error: { reason: 'insufficient_scope' } } } }],
      });
      // Clients of the old era break on a 403 to a call; they get the result that a model can read.
      expect(resultOf(await narrow.legacy(toolCall('coral_get_topology')))).toMatchObject({
        isError: true,
        structuredContent: { error: { reason: 'insufficient_scope' } },
      });
      const wider = open.with(await doors.token(person, { scope: 'read:health read:topology' }));
      expect((await wider.modern(toolCall('coral_get_topology'))).status).toBe(200);
    });

    it('which gives nothing that the policy does not give, and sends nobody round in circles', async () => {
      const { person, public: open } = named('coral_get_health_user');
      const greedy = open.with(await doors.token(person, { scope: 'read:health read:topology' }));
      const answer = await greedy.modern(toolCall('coral_get_topology'));
      expect(answer.status).toBe(200);
      expect(answer.headers).not.toHaveProperty('www-authenticate');
      expect(resultOf(answer)).toMatchObject({ structuredContent: { error: { reason: 'missing_permission' } } });
    });
  });

  it('item 12: headers that say something else than the body are refused, and only the body decides', async () => {
    const caller = named('coral_get_health_user');
    const body = toolCall('coral_get_health');
    const lies: [string, Record<string, string>, number][] = [
      ['another tool', { 'mcp-name': 'coral_query' }, -32_020],
      [
        'another tool in base64',
        { 'mcp-name': `=?base64?${Buffer.from('coral_query').toString('base64')}?=` },
        -32_020,
      ],
      ['two tools', { 'mcp-name': 'coral_get_health, coral_query' }, -32_020],
      ['another method', { 'mcp-method': 'tools/list' }, -32_020],
      ['another revision', { 'mcp-protocol-version': '2025-11-25' }, -32_020],
      ['broken base64', { 'mcp-name': '=?base64?%%%?=' }, -32_020],
    ];
    for (const door of caller.doors) {
      for (const [name, headers, code] of lies) {
        let answer: HttpAnswer | undefined;
        const rows = await doors.rowsDuring(async () => {
          answer = await door.modern(body, headers);
        });
        expect([name, answer?.status, answer?.messages]).toEqual([
          name,
          400,
          [expect.objectContaining({ error: expect.objectContaining({ code }) })],
        ]);
        // One row and no intent: no handler ran.
        expect(rows).toMatchObject([
          {
            kind: 'tool_call.outcome',
            user_id: 'coral_get_health_user',
            payload: { outcome: 'invalid', error_reason: 'malformed_header_mismatch', tool_name: 'coral_get_health' },
          },
        ]);
      }
      for (const missing of ['mcp-name', 'mcp-method', 'mcp-protocol-version']) {
        const { [missing]: _, ...headers } = modernHeaders(body);
        const answer = await door.send({ headers: { ...commonHeaders(door), ...headers }, body });
        expect([missing, answer.status]).toEqual([missing, 400]);
      }
      // A header cannot lend a right, nor take one: the old era has no such headers, and the body alone is looked at.
      const lent = await door.legacy(toolCall('coral_query', { query: 'x' }), { 'mcp-name': 'coral_get_health' });
      expect(resultOf(lent)).toMatchObject({ structuredContent: { error: { reason: 'missing_permission' } } });
    }
  });

  it('item 35: who somebody says he is gains nothing, and is written down as said', async () => {
    const caller = named('none_user');
    const claims = {
      'user-agent': 'admin/1',
      'x-coral-peer': named('all_user').lease.identity.keyId,
      'x-forwarded-user': 'all_user',
      'x-forwarded-for': '10.137.0.1',
      forwarded: 'for=10.137.0.1',
      'mcp-session-id': 'all_user',
    };
    const message = toolCall('coral_get_health');
    const meta = (message['params'] as { _meta: Json })._meta;
    meta['io.modelcontextprotocol/clientInfo'] = { name: 'all_user', version: 'admin' };
    for (const door of caller.doors) {
      for (const era of ['modern', 'legacy'] as const) {
        let answer: HttpAnswer | undefined;
        const rows = await doors.rowsDuring(async () => {
          answer = await door[era](message, claims);
        });
        expect(resultOf(answer as HttpAnswer)).toMatchObject({
          isError: true,
          structuredContent: { error: { reason: 'missing_permission' } },
        });
        const said = era === 'modern' ? 'all_user/admin' : 'admin/1';
        expect(rows).toMatchObject([{ user_id: 'none_user', payload: { client_info: said, outcome: 'denied' } }]);
        expect(rows[0]?.payload['remote_address']).not.toBe('10.137.0.1');
      }
    }
  });

  it('item 36: two callers whose calls interleave get their own answers, thousands of times', async () => {
    const pairs = [
      { caller: named('all_user'), tools: toolNames },
      { caller: named('coral_get_health_user'), tools: ['coral_get_health'] },
    ];
    const lanes = pairs.flatMap(({ caller, tools }) =>
      caller.doors.flatMap((door) => [0, 1, 2].map((lane) => ({ door, tools, lane, user: caller.person.userId }))),
    );
    let calls = 0;
    await Promise.all(
      lanes.map(async ({ door, tools, lane, user }) => {
        using line = new KeptLine(door);
        for (let turn = 0; turn < 200; turn += 1) {
          const canary = `canary-${user}-${door.name}-${lane}-${turn}`;
          const listing = turn % 4 === 0;
          const message = { ...(listing ? jsonRpc('tools/list') : toolCall(canary, { canary })), id: canary };
          const said = await line.post(message);
          const all = [...said.matchAll(/canary-[a-z_]+-(?:mesh|public)-\d+-\d+/g)].map(([word]) => word);
          expect(new Set(all)).toEqual(new Set([canary]));
          const answer = JSON.parse(said) as { id: string; result?: { tools: { name: string }[] } };
          expect(answer.id).toBe(canary);
          if (listing) expect(answer.result?.tools.map((tool) => tool.name)).toEqual(tools);
          calls += 1;
        }
      }),
    );
    expect(calls).toBe(2_400);
    // Each call was its own caller's, not only its answer: the canary names who made it.
    const rows = (await doors.colony.rowsOf('tool_call.outcome')).flatMap(({ user_id: user, payload }) => {
      const name = String(payload['tool_name']);
      return name.startsWith('canary-') ? [name.startsWith(`canary-${user}-`)] : [];
    });
    expect(rows.length).toBe(1_800);
    expect(rows.filter((own) => !own)).toEqual([]);
  });
});

/** One connection, kept for many requests, as real clients do. */
class KeptLine implements Disposable {
  readonly #door: HttpEntrance;
  readonly #agent: Agent;

  constructor(door: HttpEntrance) {
    this.#door = door;
    this.#agent = new (class extends Agent {
      override createConnection(_: object, done: Connected): undefined {
        void connectFor(door, done);
      }
    })({ keepAlive: true, maxSockets: 1 });
  }

  async post(message: Json): Promise<string> {
    const body = JSON.stringify(message);
    const headers = { host: this.#door.host, ...commonHeaders(this.#door), ...modernHeaders(message) };
    return await new Promise((resolve, reject) => {
      const sent = request({ agent: this.#agent, method: 'POST', path: '/mcp', headers }, (response) => {
        text(response).then(resolve, reject);
      });
      sent.once('error', reject);
      sent.end(body);
    });
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

type Connected = (error: Error | null, socket?: Duplex) => void;

async function connectFor(door: HttpEntrance, done: Connected): Promise<void> {
  let socket: Duplex;
  try {
    socket = await door.connect();
  } catch (thrown) {
    done(thrown as Error);
    return;
  }
  done(null, socket);
}
