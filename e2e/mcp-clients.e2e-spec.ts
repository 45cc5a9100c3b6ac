import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setDefaultCACertificates } from 'node:tls';
import type { AuditRow } from '@coral/audit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { independentClients } from './mcp/clients/all.js';
import type { Door } from './mcp/clients/client.js';
import { exchangeToken } from './mcp/public-token.js';
import { AgentUnderTest } from './support/otlp-agent.js';
import { postTraces, several } from './support/otlp-post.js';
import { ColonyUnderTest, toolCall, type Person } from './support/start-colony.js';
import { until } from './support/until.js';

/** alex may see everything that is aggregated, jordan the topology, and what his own agents hold: he has none. */
const policy = `version: 1
roles:
  reader:
    permissions: [read:metrics, read:topology, read:events, read:health]
  cartographer:
    permissions: [read:topology, read:live_data]
bindings:
  - role: reader
    users: [alex]
  - role: cartographer
    users: [jordan]
`;

/** Spans of one service that were really sent; every client must come back with this number. */
const requests = 137;
const notYours = { additional_check: 'agent_owner_match' };
const question = { query: 'throughput by service, last 15m' };

describe('at the public door of a colony', () => {
  const undo = new AsyncDisposableStack();
  let colony: ColonyUnderTest;
  let caFile: string;
  /** Of an agent that is not jordan's. */
  let agentId: string;
  const tokens = new Map<string, string>();

  beforeAll(async () => {
    const door = { public: true, rbac: { coral_fetch_live: notYours } };
    colony = undo.use(await ColonyUnderTest.start({ policy, config: { mcp_server: door } }));
    const caPem = await colony.caPem();
    caFile = join(colony.directory, 'ca.pem');
    await writeFile(caFile, caPem);
    // For the clients inside this process, as NODE_EXTRA_CA_CERTS is for the others; nobody else is trusted.
    setDefaultCACertificates([caPem]);
    for (const user of ['alex', 'jordan']) {
      const { token } = await colony.apiToken(user);
      tokens.set(user, (await exchangeToken(colony.ready.endpoint, caPem, token)).access_token);
    }
    await sendTelemetry();
  });

  afterAll(async () => {
    await colony.mustVerify();
    await undo.disposeAsync();
  });

  async function sendTelemetry(): Promise<void> {
    const { endpoint, ca_fingerprint: caFingerprint } = colony.ready;
    const joinToken = await colony.joinToken('alex');
    await using agent = await AgentUnderTest.start({ colony: { endpoint, caFingerprint }, joinToken });
    agentId = agent.ready.agent_id;
    await postTraces(agent.ready.otlp_http, several(requests, { service: 'orders' }));
    const alex = await colony.person('alex');
    await until(async () => JSON.stringify(await ourOwnClientsAnswer(alex)).includes('orders'), 'the service');
    alex.door[Symbol.dispose]();
  }

  async function ourOwnClientsAnswer(alex: Person): Promise<Record<string, unknown>[]> {
    await using lease = await alex.lease();
    const frames = await lease.exchange(toolCall('coral_query', question));
    await alex.release(lease.answer.agentId);
    return frames;
  }

  async function doorFor(user: string, client: string): Promise<Door> {
    const home = join(colony.directory, `${user} ${client}`.replaceAll(/\W+/g, '-'));
    await mkdir(home, { mode: 0o700 });
    return { url: `https://${colony.ready.endpoint}/mcp`, token: tokens.get(user) ?? '', caFile, home };
  }

  /** Ends of tool calls that were recorded while `attempt` ran. */
  async function endsDuring(attempt: () => Promise<void>): Promise<AuditRow[]> {
    const before = (await colony.audit()).length;
    await attempt();
    return (await colony.audit()).slice(before).filter(({ kind }) => kind === 'tool_call.outcome');
  }

  describe.each(independentClients)('$name ($speaks)', (client) => {
    it('lists and calls, for who may', async () => {
      const door = await doorFor('alex', client.name);
      const ends = await endsDuring(async () => {
        expect(await client.list(door)).toEqual([
          'coral_query',
          'coral_get_topology',
          'coral_query_events',
          'coral_get_health',
        ]);
        const answer = await client.call(door, 'coral_query', question);
        expect(answer).toMatchObject({
          refused: false,
          body: { status: 'ok', data: { rows: [{ service: 'orders', requests }] } },
        });
      });
      expect(ends).toMatchObject([
        {
          user_id: 'alex',
          payload: {
            tool_name: 'coral_query',
            door: 'http',
            audience: 'public',
            client_info: expect.stringMatching(`^${client.knownAs}`),
            outcome: 'ok',
            decision: { allowed: true },
          },
        },
      ]);
    });

    it('lists less and is refused, in its own words and in the audit, for who may not', async () => {
      const door = await doorFor('jordan', client.name);
      const [tool, args, reason] = client.callsOnlyWhatIsListed
        ? ['coral_fetch_live', { agent_id: agentId, sql_query: 'SELECT * FROM spans' }, 'not_agent_owner']
        : ['coral_query', question, 'missing_permission'];
      const ends = await endsDuring(async () => {
        expect(await client.list(door)).toEqual(['coral_fetch_live', 'coral_get_topology']);
        const answer = await client.call(door, tool, args);
        expect(answer).toMatchObject({ refused: true, body: { error: { kind: 'permission_denied', reason } } });
        expect(JSON.stringify(answer)).not.toContain('orders');
      });
      const refused = {
        tool_name: tool,
        client_info: expect.stringMatching(`^${client.knownAs}`),
        door: 'http',
        audience: 'public',
        outcome: 'denied',
        error_reason: reason,
      };
      expect(ends).toMatchObject([{ user_id: 'jordan', payload: refused }]);
    });
  });
});
