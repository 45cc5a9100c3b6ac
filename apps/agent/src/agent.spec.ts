import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { newWireGuardKeyPair } from '@coral/auth';
import { CoralError } from '@coral/errors';
import { openUserspaceMesh, type UserspaceMesh } from '@coral/mesh';
import { keyIdOf, systemClock } from '@coral/model';
import packageJson from '../../../package.json' with { type: 'json' };
import { startAgent, type RunningAgent } from './agent.js';
import { exportJson, LogBook, scratch, testConfig, type SpanSketch } from './spec-support/fixtures.js';
import { SpecColony } from './spec-support/spec-colony.js';
import { agentVersion } from './version.js';

function start(
  dataDir: string,
  colony: { endpoint: string; caFingerprint: string },
  changes: Record<string, unknown> = {},
) {
  const book = new LogBook();
  const config = testConfig(dataDir, {
    colony: { endpoint: colony.endpoint, ca_fingerprint: colony.caFingerprint },
    join_token: 'env://JOIN',
    summaries: { interval: '1s' },
    limits: { min_free_disk: '0B' },
    ...changes,
  });
  return startAgent(config, { clock: systemClock, log: book.log, env: { JOIN: 'coral_join_spec' } });
}

async function post(agent: RunningAgent, spans: readonly SpanSketch[]): Promise<void> {
  const response = await fetch(`http://${agent.ready.otlp_http}/v1/traces`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(exportJson({ 'service.name': 'cart' }, spans)),
  });
  expect(response.status).toBe(200);
}

const now = () => Date.now();

describe('an agent', () => {
  it('joins with its token once, announces itself, and tells the colony every span it acknowledged', async () => {
    await using home = await scratch();
    await using colony = await SpecColony.start(home.path);
    const dataDir = join(home.path, 'agent');
    {
      await using agent = await start(dataDir, colony);
      expect(agent.ready).toMatchObject({ event: 'ready', agent_id: expect.stringMatching(/^agt-[a-z2-7]{16}$/) });
      await post(agent, [{ endMs: now() }, { endMs: now(), error: true }]);
      await colony.until(() => colony.requests === 2);
    }
    const enrolled = colony.enrolled[0];
    expect(colony.announced[0]).toMatchObject({ version: agentVersion, directEndpoint: '' });
    expect((await stat(join(dataDir, 'identity', 'keys.json'))).mode & 0o777).toBe(0o600);
    expect(JSON.stringify(enrolled)).not.toContain(
      JSON.parse(await readFile(join(dataDir, 'identity', 'keys.json'), 'utf8')).private_key,
    );

    // The token is spent; the identity is enough.
    await using again = await start(dataDir, colony);
    await post(again, [{ endMs: now() }]);
    await colony.until(() => colony.requests === 3);
    expect(colony.enrolled).toHaveLength(1);
    expect(colony.announced).toHaveLength(2);
  });

  it('is refused with a spent token: failed_precondition, and the next step', async () => {
    await using home = await scratch();
    await using colony = await SpecColony.start(home.path);
    colony.joinTokens.clear();
    await expect(start(join(home.path, 'agent'), colony)).rejects.toMatchObject({
      kind: 'failed_precondition',
      reason: 'join_token_invalid',
      next: 'Ask for a new one.',
    });
  });

  it('refuses to give its join token to a colony with another CA', async () => {
    await using home = await scratch();
    await using colony = await SpecColony.start(home.path);
    const imposter = { endpoint: colony.endpoint, caFingerprint: `sha256:${'1'.repeat(64)}` };
    await expect(start(join(home.path, 'agent'), imposter)).rejects.toMatchObject({ reason: 'wrong_ca' });
    expect(colony.joinTokens.size).toBe(1);
  });

  it('says what to do without identity and token', async () => {
    await using home = await scratch();
    await using colony = await SpecColony.start(home.path);
    await expect(start(join(home.path, 'agent'), colony, { join_token: undefined })).rejects.toMatchObject({
      kind: 'failed_precondition',
      reason: 'not_enrolled',
    });
  });

  it('takes telemetry in while the colony is away, and tells it afterwards', async () => {
    await using home = await scratch();
    const dataDir = join(home.path, 'agent');
    await using colony = await SpecColony.start(home.path);
    await (await start(dataDir, colony)).stop();
    colony.refuses = new CoralError({ kind: 'unavailable', reason: 'away', message: 'The disk is full.' });
    {
      await using agent = await start(dataDir, colony);
      await post(agent, [{ endMs: now() }]);
      await colony.until(() => colony.pushes > 0);
      expect((await fetch(`http://${agent.ready.ops}/readyz`)).status).toBe(200);
    }
    expect(colony.requests).toBe(0);
    colony.refuses = undefined;
    await using agent = await start(dataDir, colony);
    await colony.until(() => colony.requests === 1);
    await post(agent, [{ endMs: now() }]);
    await colony.until(() => colony.requests === 2);
  });

  it('starts and buffers with an identity although no colony answers', async () => {
    await using home = await scratch();
    const dataDir = join(home.path, 'agent');
    const colony = await SpecColony.start(home.path);
    await (await start(dataDir, colony)).stop();
    await colony[Symbol.asyncDispose]();
    await using agent = await start(dataDir, colony);
    await post(agent, [{ endMs: now() }]);
    const metrics = await (await fetch(`http://${agent.ready.ops}/metrics`)).text();
    expect(metrics).toContain('coral_agent_items_accepted_total{signal="traces"} 1');
    expect(metrics).toContain('coral_agent_colony_connected 0');
  });

  it('refuses a data directory that another agent uses', async () => {
    await using home = await scratch();
    await using colony = await SpecColony.start(home.path);
    await using agent = await start(join(home.path, 'agent'), colony);
    expect(agent.ready.event).toBe('ready');
    await expect(start(join(home.path, 'agent'), colony)).rejects.toMatchObject({
      kind: 'failed_precondition',
      reason: 'data_dir_in_use',
    });
  });

  it('names the door that is taken, and the directory it cannot write', async () => {
    await using home = await scratch();
    await using colony = await SpecColony.start(home.path);
    await using first = await start(join(home.path, 'one'), colony);
    const { otlp_grpc, otlp_http, ops } = first.ready;
    const doors: [string, Record<string, unknown>][] = [
      ['otlp.grpc.listen', { otlp: { grpc: { listen: otlp_grpc }, http: { listen: '127.0.0.1:0' } } }],
      ['otlp.http.listen', { otlp: { grpc: { listen: '127.0.0.1:0' }, http: { listen: otlp_http } } }],
      ['ops.listen', { ops: { listen: ops } }],
    ];
    for (const [where, changes] of doors) {
      colony.joinTokens.add('coral_join_spec');
      const refused = start(join(home.path, `two-${where}`), colony, changes);
      await expect(refused).rejects.toMatchObject({ kind: 'failed_precondition', reason: 'port_taken', where });
    }
    await writeFile(join(home.path, 'file'), '');
    await expect(start(join(home.path, 'file', 'data'), colony)).rejects.toMatchObject({
      kind: 'failed_precondition',
      reason: 'data_dir_unusable',
    });
  });

  it('has the version of the package', () => {
    expect(agentVersion).toBe(packageJson.version);
  });
});

describe('questions to an agent', () => {
  it('are answered over the hot window, for the colony', async () => {
    await using home = await scratch();
    await using colony = await SpecColony.start(home.path);
    await using agent = await start(join(home.path, 'agent'), colony);
    const endMs = now() - 60_000;
    await post(agent, [
      { endMs, name: 'GET /a' },
      { endMs: endMs + 5, name: 'GET /b' },
    ]);
    await colony.until(() => colony.announced.length > 0);
    const answer = await colony.ask('SELECT name, service, duration_ns FROM spans ORDER BY name');
    expect(JSON.parse(answer.rowsJson.toString())).toEqual([
      ['GET /a', 'cart', expect.anything()],
      ['GET /b', 'cart', expect.anything()],
    ]);
    expect(answer).toMatchObject({ rowCount: 2, truncated: false, oldestMs: endMs });
    expect(answer.asOfMs).toBeGreaterThan(endMs);
    const none = await colony.ask('SELECT count(*) FROM logs');
    expect(JSON.parse(none.rowsJson.toString())).toEqual([['0']]);
  });

  it('are refused when they write, read files, or come from another key', async () => {
    await using home = await scratch();
    await using colony = await SpecColony.start(home.path);
    await using agent = await start(join(home.path, 'agent'), colony);
    await colony.until(() => colony.announced.length > 0);
    await expect(colony.ask('DROP TABLE spans')).rejects.toMatchObject({
      kind: 'invalid_argument',
      reason: 'sql_refused',
    });
    await expect(colony.ask("SELECT * FROM read_text('/etc/passwd')")).rejects.toMatchObject({ reason: 'sql_refused' });
    await expect(colony.ask('SELECT bucket FROM spans')).rejects.toMatchObject({ kind: 'invalid_argument' });

    // Known to the mesh, yet not the colony: let in by hand, as no real configuration does.
    const keyPair = newWireGuardKeyPair();
    const addresses = ['10.137.0.99'];
    await using other = await openUserspaceMesh({ keyPair, addresses, clock: systemClock });
    const [theirs] = colony.enrolled as [(typeof colony.enrolled)[0]];
    agent.link.mesh.addPeer({ keyId: other.keyId, publicKey: keyPair.publicKey, addresses, wireguard: {} });
    other.addPeer({
      keyId: keyIdOf(theirs.publicKey),
      publicKey: theirs.publicKey,
      addresses: ['10.137.0.16'],
      wireguard: { endpoint: { host: '127.0.0.1', port: (agent.link.mesh as UserspaceMesh).udpPort } },
    });
    await expect(colony.ask('SELECT 1 FROM spans', other)).rejects.toMatchObject({
      kind: 'permission_denied',
      reason: 'not_the_colony',
    });
  });
});
