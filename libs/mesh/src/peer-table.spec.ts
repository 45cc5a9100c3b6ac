import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { keyIdOf } from '@coral/model';
import type { Peer } from './mesh.js';
import { PeerTable } from './peer-table.js';

const clock = { wall: 1_000_000, mono: 0, now: () => clock.wall, monotonic: () => clock.mono };

function somePeer(change: Partial<Peer> = {}): Peer {
  const publicKey = randomBytes(32);
  return {
    keyId: keyIdOf(publicKey),
    publicKey,
    addresses: ['10.137.0.2'],
    direct: { certificateSha256: randomBytes(32) },
    ...change,
  };
}
const hash = (peer: Peer): string => Buffer.from(peer.direct?.certificateSha256 ?? []).toString('hex');

describe('the peer table', () => {
  it('ends a peer by whichever clock comes first', () => {
    const table = new PeerTable(clock);
    for (const [wall, mono] of [
      [5_000, 0],
      [-3_600_000, 5_000],
    ] as const) {
      const peer = somePeer({ expiresAt: clock.wall + 5_000 });
      table.add(peer);
      const entry = table.atAddress('10.137.0.2');
      expect(entry?.over()).toBeUndefined();
      clock.wall += wall;
      clock.mono += mono;
      expect(entry?.over()).toMatchObject({ reason: 'mesh_peer_gone' });
      clock.wall -= 10_000;
      expect(entry?.over()).toMatchObject({ reason: 'mesh_peer_gone' });
      expect(table.sweep()).toBe(Number.POSITIVE_INFINITY);
    }
  });

  it('cuts once, synchronously, and tells how long until the next end', () => {
    const table = new PeerTable(clock);
    const [first, second] = [
      somePeer({ expiresAt: clock.wall + 100 }),
      somePeer({ addresses: ['10.137.0.3'], expiresAt: clock.wall + 300 }),
    ];
    table.add(first);
    table.add(second);
    const reasons: string[] = [];
    table.atAddress('10.137.0.2')?.cuts.add((error) => reasons.push(error.reason));
    expect(table.sweep()).toBe(100);
    clock.wall += 100;
    clock.mono += 100;
    expect(table.sweep()).toBe(200);
    table.remove(first.keyId);
    expect(reasons).toEqual(['mesh_peer_gone']);
    expect(table.atAddress('10.137.0.2')).toBeUndefined();
    expect(table.withCertificate(hash(first))).toBeUndefined();
  });

  it("gives no live peer's address or certificate to another, but those of one whose time is over", () => {
    const table = new PeerTable(clock);
    const alive = somePeer({ expiresAt: clock.wall + 100 });
    table.add(alive);
    const wanted = [somePeer(), somePeer({ addresses: ['10.137.0.9'], ...(alive.direct && { direct: alive.direct }) })];
    for (const peer of wanted) {
      expect(() => table.add(peer)).toThrow(expect.objectContaining({ reason: 'mesh_peer_conflict' }));
    }
    expect(table.withCertificate(hash(alive))?.peer.keyId).toBe(alive.keyId);
    clock.wall += 100;
    table.add(wanted[0] as Peer);
    expect(table.atAddress('10.137.0.2')?.peer.keyId).toBe(wanted[0]?.keyId);
    expect(table.withCertificate(hash(alive))).toBeUndefined();
  });

  it('keeps streams when a peer is renewed, and cuts them when it comes with another certificate', () => {
    const table = new PeerTable(clock);
    const peer = somePeer({ expiresAt: clock.wall + 100 });
    table.add(peer);
    const reasons: string[] = [];
    table.withCertificate(hash(peer))?.cuts.add((error) => reasons.push(error.message));
    table.add({ ...peer, expiresAt: clock.wall + 1_000, addresses: ['10.137.0.7'] });
    expect(reasons).toEqual([]);
    expect(table.atAddress('10.137.0.2')).toBeUndefined();
    const changed = { ...peer, direct: { certificateSha256: randomBytes(32) } };
    table.add(changed);
    expect(reasons).toEqual([expect.stringContaining('another certificate')]);
    expect(table.withCertificate(hash(changed))?.over()).toBeUndefined();
    expect(table.withCertificate(hash(peer))).toBeUndefined();
  });

  it('lets a peer whose time was over come back with a new lease, without what was cut', () => {
    const table = new PeerTable(clock);
    const peer = somePeer({ expiresAt: clock.wall });
    table.add(peer);
    const old = table.withCertificate(hash(peer));
    expect(old?.over()).toBeDefined();
    table.add({ ...peer, expiresAt: clock.wall + 100 });
    expect(old?.over()).toBeDefined();
    expect(table.withCertificate(hash(peer))?.over()).toBeUndefined();
  });

  it.each<[string, Partial<Peer>]>([
    ['a short key', { publicKey: randomBytes(31) }],
    ['a key id of another key', { keyId: keyIdOf(randomBytes(32)) }],
    ['no address', { addresses: [] }],
    ['a name for an address', { addresses: ['colony.example'] }],
    ['an end that is no time', { expiresAt: Number.NaN }],
    ['a short hash', { direct: { certificateSha256: randomBytes(20) } }],
  ])('refuses a peer with %s', (_what, change) => {
    expect(() => new PeerTable(clock).add(somePeer(change))).toThrow(expect.objectContaining({ reason: 'bad_peer' }));
  });

  it('knows nobody at what is not an address', () => {
    expect(new PeerTable(clock).atAddress('not an address')).toBeUndefined();
  });

  it('routes to the owner of an address, else to the hub with the longest prefix around it', () => {
    const table = new PeerTable(clock);
    const owner = somePeer();
    const hub = somePeer({ addresses: ['10.137.0.1'], wireguard: { allowedIps: ['10.137.0.0/16', 'fd42:c0a1::/48'] } });
    const nearer = somePeer({ addresses: ['10.137.64.1'], wireguard: { allowedIps: ['10.137.64.0/18'] } });
    for (const peer of [hub, nearer, owner]) table.add(peer);
    const routed = (address: string) => table.routeTo(address)?.peer.keyId;
    expect(routed('10.137.0.2')).toBe(owner.keyId);
    expect(routed('10.137.0.3')).toBe(hub.keyId);
    expect(routed('10.137.65.3')).toBe(nearer.keyId);
    expect(routed('fd42:c0a1:0::7')).toBe(hub.keyId);
    expect(routed('192.168.0.1')).toBeUndefined();
    expect(routed('nonsense')).toBeUndefined();
    const entry = table.routeTo('10.137.0.3');
    expect(entry && [table.isOwnAddress(entry, '10.137.0.1'), table.isOwnAddress(entry, '10.137.0.3')]).toEqual([
      true,
      false,
    ]);
  });

  it.each([
    [{ presharedKey: new Uint8Array(31) }, 'preshared key'],
    [{ allowedIps: ['10.137.0.0/33'] }, 'address range'],
    [{ allowedIps: ['10.137.0/24'] }, 'address range'],
    [{ endpoint: { host: '', port: 1 } }, 'no host'],
    [{ endpoint: { host: 'colony', port: 0 } }, 'port'],
    [{ endpoint: { host: 'colony', port: 65_536 } }, 'port'],
    [{ persistentKeepaliveSeconds: -1 }, 'keepalives'],
    [{ persistentKeepaliveSeconds: 65_536 }, 'keepalives'],
  ])('takes no WireGuard settings like %j', (wireguard, problem) => {
    const table = new PeerTable(clock);
    expect(() => table.add(somePeer({ wireguard }))).toThrow(
      expect.objectContaining({ reason: 'bad_peer', message: expect.stringContaining(problem) }),
    );
  });
});
