// Three ends of a mesh: a laptop and an agent, and between them the colony that forwards what it was told to.
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SharedClock } from './shared-clock.js';
import { at, cliAddress, colonyAddress, openEnd, type End } from './userspace.fixture.js';

const agentAddress = '10.137.0.2';
const mesh = ['10.137.0.0/16'];
const quick = { timeoutMs: 300 };

describe('a hub', () => {
  let clock: SharedClock;
  let colony: End;
  let cli: End;
  let agent: End;

  beforeEach(async () => {
    clock = new SharedClock();
    [colony, cli, agent] = await Promise.all([
      openEnd([colonyAddress], clock, { hub: true }),
      openEnd([cliAddress], clock),
      openEnd([agentAddress], clock),
    ]);
    colony.mesh.addPeer(cli.peer);
    colony.mesh.addPeer(agent.peer);
    const { wireguard } = at(colony);
    for (const end of [cli, agent]) {
      end.mesh.addPeer({ ...colony.peer, wireguard: { ...wireguard, allowedIps: mesh } });
      await end.mesh.ping(colonyAddress);
    }
  });
  afterEach(async () => {
    await Promise.all([colony, cli, agent].map((end) => end.mesh.close()));
  });

  const allow = (until?: number): void =>
    colony.mesh.allowForwarding(cli.peer.keyId, [
      { destination: agentAddress, protocol: 'tcp', port: 5_432, ...(until === undefined ? {} : { until }) },
    ]);

  it('forwards what a rule allows, and the far end knows that it was forwarded', async () => {
    allow();
    await agent.mesh.listen(5_432, (socket) => socket.end(`${socket.remoteAddress} ${socket.forwarded}`), {
      forwarded: true,
    });
    const socket = await cli.mesh.dial(agentAddress, 5_432);
    expect([socket.peer, socket.forwarded]).toEqual([colony.peer.keyId, true]);
    expect(await text(socket)).toBe(`${cliAddress} true`);
    expect((await colony.mesh.counters()).hub.forwarded).toBeGreaterThan(3);
  });

  it('forwards nothing else, and says so', async () => {
    allow();
    await agent.mesh.listen(22, (socket) => socket.end('never'), { forwarded: true });
    await expect(cli.mesh.dial(agentAddress, 22, quick)).rejects.toMatchObject({ kind: 'unavailable' });
    await expect(agent.mesh.dial(cliAddress, 22, quick)).rejects.toMatchObject({ kind: 'unavailable' });
    await expect
      .poll(() => colony.events, { timeout: 3_000 })
      .toContainEqual({
        kind: 'forward_denied',
        peer: cli.peer.keyId,
        destination: agentAddress,
        protocol: 'tcp',
        port: 22,
        reason: 'no_rule',
        packets: expect.any(Number),
      });
    expect((await agent.mesh.counters()).tcp['connectionsAccepted']).toBe(0);
  });

  it('is refused by whoever did not ask for forwarded streams: their peer would seem to be the colony', async () => {
    allow();
    await agent.mesh.listen(5_432, (socket) => socket.end('never'));
    const dialled = cli.mesh.dial(agentAddress, 5_432, quick).then(text);
    const outcome = await dialled.catch((error: unknown) => error);
    expect(outcome).toMatchObject({ kind: 'unavailable' });
    expect((await agent.mesh.counters()).tcp['connectionsAccepted']).toBe(0);
  });

  it('lets nothing through once a rule is over, though the stream stands', async () => {
    allow(clock.now() + 60_000);
    let heard = '';
    await agent.mesh.listen(5_432, (socket) => socket.on('data', (bytes) => (heard += String(bytes))), {
      forwarded: true,
    });
    const socket = await cli.mesh.dial(agentAddress, 5_432);
    socket.write('in time');
    await expect.poll(() => heard).toBe('in time');
    clock.advance(60_000);
    socket.write('late');
    await expect.poll(async () => (await colony.mesh.counters()).hub.drops.rule_over).toBeGreaterThan(0);
    expect(heard).toBe('in time');
    socket.destroy();
  });

  it('lets nothing through once a rule was taken back, or its peer is gone', async () => {
    allow();
    await agent.mesh.listen(5_432, (socket) => socket.resume(), { forwarded: true });
    colony.mesh.allowForwarding(cli.peer.keyId, []);
    await expect(cli.mesh.dial(agentAddress, 5_432, quick)).rejects.toMatchObject({ kind: 'unavailable' });
    allow();
    const socket = await cli.mesh.dial(agentAddress, 5_432);
    socket.destroy();
    colony.mesh.removePeer(cli.peer.keyId);
    await expect(cli.mesh.dial(agentAddress, 5_432, quick)).rejects.toMatchObject({ kind: 'unavailable' });
    expect(() => allow()).toThrow(expect.objectContaining({ reason: 'mesh_unknown_peer' }));
  });

  it('takes rules only where it is one, and only such as can be', () => {
    const rules = [{ destination: agentAddress, protocol: 'tcp' as const, port: 1 }];
    expect(() => cli.mesh.allowForwarding(colony.peer.keyId, rules)).toThrow(
      expect.objectContaining({ reason: 'bad_mesh_settings', where: 'hub' }),
    );
    const refuse = (rule: object) =>
      expect(() => colony.mesh.allowForwarding(cli.peer.keyId, [{ ...rules[0], ...rule } as never])).toThrow(
        /cannot be opened or changed|is not a port/,
      );
    refuse({ port: 0 });
    refuse({ port: undefined });
    refuse({ destination: '10.137.0.0/16' });
    refuse({ protocol: 'icmp' });
  });
});
