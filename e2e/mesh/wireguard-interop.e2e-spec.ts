import { randomBytes } from 'node:crypto';
import { systemClock } from '@coral/model';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { WireGuardDevice } from '@coral/wireguard';
import { until } from '../support/until.js';
import { Flood } from './support/flood.js';
import { describeInterop } from './support/requirements.js';
import { Foreign, foreignInner, type Family, type Joined } from './support/tunnel.js';

/** About 10,000 initiations a second; 400 at a time are more than either end lets wait before it asks for cookies. */
const pulses = { burst: 400, everyMs: 40 };

describeInterop('our WireGuard and wireguard-go', () => {
  let foreign: Foreign;
  const open: Joined[] = [];

  beforeAll(async () => {
    foreign = await Foreign.start();
  });

  afterEach(async () => {
    for (const { ours } of open.splice(0)) {
      ours.close();
      await foreign.go.removePeer(ours.publicKey);
    }
  });

  afterAll(() => foreign?.stop());

  async function join(o: Parameters<Foreign['join']>[0]): Promise<Joined> {
    const joined = await foreign.join(o);
    open.push(joined);
    return joined;
  }

  const families: Family[] = ['v4', 'v6'];
  const table = families.flatMap((outer) =>
    families.flatMap((inner) => [
      { outer, inner, psk: 'without a preshared key', presharedKey: undefined },
      { outer, inner, psk: 'with a preshared key', presharedKey: randomBytes(32) },
    ]),
  );

  it.each(table)('we start: ICMP$inner over UDP$outer, $psk', async ({ outer, inner, presharedKey }) => {
    const { ours, inner: mine } = await join({
      speaksFirst: 'ours',
      outer,
      ...(presharedKey ? { presharedKey } : {}),
    });
    for (let i = 0; i < 5; i++) expect(await ours.ping(mine[inner], foreignInner[inner])).toBe(true);
    expect(ours.handshakes()).toMatchObject([{ initiator: true }]);
    expect(ours.messages('out', 'initiation')).toHaveLength(1);
    // Both ways and the session is one, not two that met.
    expect(await foreign.reaches(mine[inner], 3)).toBe(true);
    expect(ours.messages('in', 'initiation')).toHaveLength(0);
  });

  it.each(table)('wireguard-go starts: ICMP$inner over UDP$outer, $psk', async ({ outer, inner, presharedKey }) => {
    const { ours, inner: mine } = await join({
      speaksFirst: 'foreign',
      outer,
      ...(presharedKey ? { presharedKey } : {}),
    });
    const isReached = await foreign.reaches(mine[inner], 5);
    expect(isReached, ours.story()).toBe(true);
    expect(ours.handshakes()).toMatchObject([{ initiator: false }]);
    expect(ours.messages('out', 'initiation')).toHaveLength(0);
    expect(await ours.ping(mine[inner], foreignInner[inner])).toBe(true);
  });

  it('carries packets of every size up to the MTU, each whole', async () => {
    const { ours, inner } = await join({ speaksFirst: 'ours' });
    for (const size of [0, 1, 3, 4, 15, 16, 17, 500, 1391, 1392]) {
      expect(await ours.ping(inner.v4, foreignInner.v4, 10_000, size), `${size} bytes`).toBe(true);
    }
    expect(new Set(ours.replies.map(({ payload }) => payload.length))).toEqual(
      new Set([0, 1, 3, 4, 15, 16, 17, 500, 1391, 1392]),
    );
  });

  it('with preshared keys that differ there is no session, and no packet comes out', async () => {
    const { ours, inner } = await join({ speaksFirst: 'ours', presharedKey: randomBytes(32) });
    await foreign.go.setPeer({ publicKey: ours.publicKey, allowedIps: [], presharedKey: randomBytes(32) });
    expect(await ours.ping(inner.v4, foreignInner.v4, 1_000)).toBe(false);
    expect(ours.messages('in', 'response').length).toBeGreaterThan(0);
    expect(ours.device.counters().drops.bad_handshake).toBeGreaterThan(0);
    expect(ours.handshakes()).toEqual([]);
  });

  it('a peer removed over there gets no answer from that moment; one removed here hears nothing', async () => {
    const { ours, inner } = await join({ speaksFirst: 'ours' });
    expect(await ours.ping(inner.v4, foreignInner.v4)).toBe(true);
    await foreign.go.removePeer(ours.publicKey);
    expect(await ours.ping(inner.v4, foreignInner.v4, 1_000)).toBe(false);

    const other = await join({ speaksFirst: 'foreign' });
    expect(await foreign.reaches(other.inner.v4, 2)).toBe(true);
    expect(other.ours.device.removePeer(foreign.publicKey)).toBe(true);
    const before = other.ours.messages('out', 'data').length;
    expect(await foreign.ping(other.inner.v4, 2, { deadlineSeconds: 2 })).toHaveProperty('answered', 0);
    await until(() => other.ours.messages('in', 'data').length > before, 'pings that arrive all the same', 5_000);
    expect(other.ours.messages('out', 'data')).toHaveLength(before);
    expect(other.ours.events.map(({ kind }) => kind)).toContain('removed');
  });

  it('takes nothing from inner addresses that are not the peer’s, at either end', async () => {
    const { ours, inner } = await join({ speaksFirst: 'ours' });
    expect(await ours.ping(inner.v4, foreignInner.v4)).toBe(true);
    const replies = ours.replies.length;
    // One we do not own: wireguard-go drops the request. Its reply would come back through this tunnel, were it
    // allowed.
    expect(await ours.ping('10.77.0.250', foreignInner.v4, 500)).toBe(false);
    expect(ours.replies).toHaveLength(replies);

    await foreign.namespace.ip('addr', 'add', '10.77.0.251/32', 'dev', foreign.go.name);
    const answered = ours.messages('out', 'data').length;
    const pinging = ['-c', '2', '-i', '0.2', '-W', '1', '-I', '10.77.0.251', inner.v4];
    await expect(foreign.namespace.run('ping', pinging)).rejects.toThrow(/ping/);
    expect(ours.device.counters().drops.source_not_allowed).toBe(2);
    expect(ours.messages('out', 'data')).toHaveLength(answered);
    await foreign.namespace.ip('addr', 'del', '10.77.0.251/32', 'dev', foreign.go.name);
  });

  it('a peer whose lease is over gets no answer, neither to data nor to a new handshake', async () => {
    const { ours, inner } = await join({ speaksFirst: 'foreign' });
    expect(await foreign.reaches(inner.v4, 2)).toBe(true);
    const end = Date.now() + 2_000;
    ours.device.addPeer({ publicKey: foreign.publicKey, allowedIps: [`${foreignInner.v4}/32`], expiresAt: end });
    expect(await foreign.reaches(inner.v4, 1)).toBe(true);
    await until(() => Date.now() > end, 'the end of the lease', 5_000);
    const sent = ours.messages('out', 'data').length;
    expect(await foreign.ping(inner.v4, 3, { deadlineSeconds: 2 })).toHaveProperty('answered', 0);
    // A new wireguard-go of the same key asks anew; it hears nothing.
    await foreign.go.removePeer(ours.publicKey);
    const here = { host: foreign.namespace.here.v4, port: ours.port };
    await foreign.go.setPeer({ publicKey: ours.publicKey, allowedIps: [`${inner.v4}/32`], endpoint: here });
    expect(await foreign.ping(inner.v4, 1, { deadlineSeconds: 2 })).toHaveProperty('answered', 0);
    await until(() => ours.messages('in', 'initiation').length > 1, 'another initiation', 5_000);
    expect(ours.messages('out', 'response')).toHaveLength(1);
    expect(ours.messages('out', 'data')).toHaveLength(sent);
    expect(ours.device.counters().drops.peer_expired).toBeGreaterThan(0);
  });

  it('roams with us: after a change of our port the first packet moves the session, no handshake runs', async () => {
    const { ours, inner } = await join({ speaksFirst: 'ours' });
    expect(await ours.ping(inner.v4, foreignInner.v4)).toBe(true);
    for (let i = 0; i < 3; i++) {
      await ours.rebind();
      const start = performance.now();
      expect(await ours.ping(inner.v4, foreignInner.v4)).toBe(true);
      expect(performance.now() - start).toBeLessThan(1_000);
      const [known] = (await foreign.go.peers()).filter((peer) => peer.publicKey === ours.publicKey.toString('base64'));
      expect(known?.endpoint).toBe(`${foreign.namespace.here.v4}:${ours.port}`);
    }
    expect(ours.messages('out', 'initiation')).toHaveLength(1);
  });

  it('follows wireguard-go when it moves', async () => {
    const { ours, peer, inner } = await join({ speaksFirst: 'ours' });
    expect(await ours.ping(inner.v4, foreignInner.v4)).toBe(true);
    const before = peer.endpoint;
    await foreign.namespace.run('wg', ['set', foreign.go.name, 'listen-port', '0']);
    // It has to speak first from there: what we send goes where it was.
    expect(await foreign.reaches(inner.v4, 3)).toBe(true);
    expect(peer.endpoint).not.toEqual(before);
    expect(ours.events.map(({ kind }) => kind)).toContain('roamed');
    expect(await ours.ping(inner.v4, foreignInner.v4)).toBe(true);
    expect(ours.messages('out', 'initiation')).toHaveLength(1);
    // The port of the others' tests is the one wireguard-go started with.
    await foreign.namespace.run('wg', ['set', foreign.go.name, 'listen-port', String(foreign.go.port)]);
  });

  it('data replayed on the wire is answered by neither end', async () => {
    const { ours, inner, foreignEnd } = await join({ speaksFirst: 'ours' });
    expect(await ours.ping(inner.v4, foreignInner.v4)).toBe(true);
    expect(await foreign.reaches(inner.v4, 1)).toBe(true);

    const data = ours.messages('out', 'data').filter(({ datagram }) => datagram.length > 32);
    const replies = ours.replies.length;
    for (const { datagram } of data) for (let i = 0; i < 3; i++) ours.sendRaw(datagram, foreignEnd);
    // One that is new, behind the replays: when its answer is here, theirs would be.
    expect(await ours.ping(inner.v4, foreignInner.v4)).toBe(true);
    expect(ours.replies).toHaveLength(replies + 1);

    const incoming = ours.messages('in', 'data').filter(({ datagram }) => datagram.length > 32);
    const sent = ours.messages('out', 'data').length;
    const { replayed } = ours.device.counters().drops;
    const from = { carrier: 'udp', address: foreignEnd.host, port: foreignEnd.port } as const;
    for (const { datagram } of incoming) ours.device.onDatagram(Buffer.from(datagram), from);
    expect(ours.device.counters().drops.replayed).toBe(replayed + incoming.length);
    expect(ours.replies).toHaveLength(replies + 1);
    expect(ours.messages('out', 'data')).toHaveLength(sent);
  });

  it('an initiation and a response replayed on the wire start nothing, at either end', async () => {
    const { ours, inner, foreignEnd } = await join({ speaksFirst: 'ours' });
    expect(await ours.ping(inner.v4, foreignInner.v4)).toBe(true);
    const [initiation] = ours.messages('out', 'initiation');
    const [response] = ours.messages('in', 'response');
    if (!initiation || !response) throw new Error('no handshake was recorded');
    for (let i = 0; i < 3; i++) ours.sendRaw(initiation.datagram, foreignEnd);
    expect(await ours.ping(inner.v4, foreignInner.v4)).toBe(true);
    expect(ours.messages('in', 'response')).toHaveLength(1);
    const from = { carrier: 'udp', address: foreignEnd.host, port: foreignEnd.port } as const;
    ours.device.onDatagram(Buffer.from(response.datagram), from);
    ours.device.runBacklog(8);
    expect(ours.handshakes()).toHaveLength(1);
    expect(await ours.ping(inner.v4, foreignInner.v4)).toBe(true);

    const other = await join({ speaksFirst: 'foreign' });
    expect(await foreign.reaches(other.inner.v4, 1)).toBe(true);
    const [theirs] = other.ours.messages('in', 'initiation');
    if (!theirs) throw new Error('no initiation was recorded');
    // Past the least gap between two initiations, so that it is the timestamp that refuses it.
    await until(() => performance.now() - theirs.at > 100, 'the gap between initiations', 5_000);
    const answered = other.ours.messages('out', 'response').length;
    other.ours.device.onDatagram(Buffer.from(theirs.datagram), { carrier: 'udp', address: '192.0.2.66', port: 6666 });
    other.ours.device.runBacklog(8);
    expect(other.ours.messages('out', 'response')).toHaveLength(answered);
    expect(other.ours.device.counters().drops.stale_initiation).toBe(1);
    // Nor did the stranger's address become the peer's.
    expect(other.peer.endpoint?.address).toBe(foreign.namespace.there.v4);
    expect(await foreign.reaches(other.inner.v4, 1)).toBe(true);
  });

  /** A right mac1 and nothing more: what everybody who knows a public key can make. */
  function strangersInitiation(publicKey: Buffer): Buffer {
    const sent: Buffer[] = [];
    const stranger = new WireGuardDevice({
      privateKey: randomBytes(32),
      clock: systemClock,
      random: (size) => randomBytes(size),
      output: { send: (datagram) => sent.push(datagram), receive: () => undefined, event: () => undefined },
    });
    const endpoint = { carrier: 'udp', address: '192.0.2.1', port: 9 } as const;
    stranger.initiate(stranger.addPeer({ publicKey, allowedIps: [], endpoint }));
    stranger.close();
    if (!sent[0]) throw new Error('the stranger sent no initiation');
    return sent[0];
  }

  it('as initiator, we get through a flooded wireguard-go: its cookie, our mac2, within 6 s', async () => {
    const { ours, inner, foreignEnd } = await join({ speaksFirst: 'ours' });
    const flood = await Flood.start({
      message: strangersInitiation(foreign.publicKey),
      ...foreignEnd,
      ...pulses,
    });
    try {
      await until(() => flood.cookies > 1_000, 'wireguard-go under load', 20_000);
      const start = performance.now();
      expect(await ours.ping(inner.v4, foreignInner.v4, 20_000)).toBe(true);
      expect(performance.now() - start).toBeLessThan(6_000);
    } finally {
      await flood.stop();
    }
    expect(ours.messages('in', 'cookie').length).toBeGreaterThan(0);
    const initiations = ours.messages('out', 'initiation').map(({ datagram }) => datagram.subarray(132));
    expect(initiations[0]).toEqual(Buffer.alloc(16));
    expect(initiations.at(-1)).not.toEqual(Buffer.alloc(16));
    expect(flood.others).toBe(0);
  });

  it('as responder under a flood, we let wireguard-go in by its cookie, and answer no stranger', async () => {
    const { ours, inner } = await join({ speaksFirst: 'foreign' });
    const flood = await Flood.start({
      message: strangersInitiation(ours.publicKey),
      host: foreign.namespace.here.v4,
      port: ours.port,
      ...pulses,
    });
    try {
      await until(() => ours.device.counters().cookieRepliesSent > 0, 'our end under load', 20_000);
      const start = performance.now();
      expect(await foreign.reaches(inner.v4, 1, { deadlineSeconds: 12 })).toBe(true);
      const joined = ours.handshakes()[0];
      expect(joined && joined.at - start).toBeLessThan(6_000);
    } finally {
      await flood.stop();
    }
    const withMac2 = ours
      .messages('in', 'initiation')
      .filter(({ datagram }) => !datagram.subarray(132).equals(Buffer.alloc(16)));
    expect(withMac2.length).toBeGreaterThan(0);
    expect(flood.others).toBe(0);
    expect(ours.device.counters().drops.cookie_required).toBeGreaterThan(0);
  });
});
