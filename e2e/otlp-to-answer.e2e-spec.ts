import { describe, expect, it } from 'vitest';
import { AgentUnderTest } from './support/otlp-agent.js';
import { sdkExporters, serve } from './support/otlp-sdk.js';
import { ColonyUnderTest, toolCall, type Leased } from './support/start-colony.js';
import { until } from './support/until.js';

const policy = `version: 1
roles:
  operator:
    permissions: [read:metrics, read:topology, read:events, read:health, read:live_data]
bindings:
  - role: operator
    users: [alex]
`;

async function ask(lease: Leased, tool: string, args: Record<string, unknown>): Promise<Record<string, unknown>> {
  const frames = await lease.exchange(toolCall(tool, args));
  const { result } = frames.at(-1) as { result: { structuredContent: Record<string, unknown> } };
  return result.structuredContent;
}

async function throughput(lease: Leased): Promise<Record<string, unknown>[]> {
  const answer = await ask(lease, 'coral_query', { query: 'throughput by service, last 5m' });
  return ((answer['data'] as { rows?: Record<string, unknown>[] } | undefined)?.rows ?? []).toSorted((a, b) =>
    String(a['service']).localeCompare(String(b['service'])),
  );
}

describe('spans of the real OpenTelemetry SDK', () => {
  it('over all three protocols become numbers that the colony answers with, and rows that can be asked for', async () => {
    await using colony = await ColonyUnderTest.start({ policy });
    const { endpoint, ca_fingerprint: caFingerprint } = colony.ready;
    await using agent = await AgentUnderTest.start({
      colony: { endpoint, caFingerprint },
      joinToken: await colony.joinToken('alex'),
    });
    const alex = await colony.person('alex');
    await using lease = await alex.lease();
    for (const [name, exporter] of Object.entries(sdkExporters)) await serve(name, exporter(agent.ready), 40, 25);

    await until(async () => (await throughput(lease)).length === 3, 'numbers of three services');
    await until(
      async () => (await throughput(lease)).every((row) => row['requests'] === 40),
      'every span counted once',
    );
    for (const row of await throughput(lease)) {
      expect(row).toMatchObject({ requests: 40, errors: 0 });
      // Within the width of a histogram bucket, 1.1 %.
      expect(Math.abs(Number(row['p95_ms']) - 25)).toBeLessThan(0.3);
    }
    const sql = 'SELECT service, count(*)::INTEGER AS n FROM spans GROUP BY service ORDER BY service';
    const live = await ask(lease, 'coral_fetch_live', { agent_id: agent.ready.agent_id, sql_query: sql });
    expect(live).toMatchObject({
      status: 'ok',
      data: {
        rows: Object.keys(sdkExporters)
          .sort()
          .map((name) => [name, 40]),
      },
    });
  });
});
