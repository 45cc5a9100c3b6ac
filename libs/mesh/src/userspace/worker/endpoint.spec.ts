// The worker's endpoint, here on the main thread: what it does without being told by a message.
import { newWireGuardKeyPair } from '@coral/auth';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PeerSlots } from '../peer-slots.js';
import { Outbox, type FromWorker, type OpenMessage, type PeerMessage, type ToWorker } from '../protocol.js';
import { SharedClock } from '../shared-clock.js';
import { Endpoint } from './endpoint.js';

const [addressA, addressB] = ['10.137.0.1', '10.137.0.2'];

class Rig {
  readonly keys = newWireGuardKeyPair();
  readonly slots = new PeerSlots(8);
  readonly heard: FromWorker[] = [];
  /** Posted by the main thread, not delivered yet. */
  readonly pending: ToWorker[] = [];
  readonly open: OpenMessage;
  readonly endpoint: Endpoint;
  readonly #closed = Promise.withResolvers<void>();
  #waiting: { type: string; resolve(message: FromWorker): void } | undefined;
  udpPort = 0;

  constructor(address: string, clock?: SharedClock) {
    this.open = {
      type: 'open',
      privateKey: new Uint8Array(this.keys.privateKey),
      addresses: [address],
      mtu: 1_280,
      udp: { host: '127.0.0.1', port: 0 },
      hub: false,
      slots: this.slots.buffer,
      clock: clock?.buffer,
    };
    const outbox = new Outbox<FromWorker>((messages) => {
      this.heard.push(...messages);
      for (const message of messages) if (message.type === this.#waiting?.type) this.#waiting.resolve(message);
    });
    const readPending = () => this.pending.splice(0);
    this.endpoint = new Endpoint(this.open, outbox, () => this.#closed.resolve(), readPending);
  }

  async bind(): Promise<void> {
    await this.endpoint.bind();
    this.udpPort = this.heard.flatMap((one) => (one.type === 'ready' ? [one.udpPort] : []))[0] ?? 0;
  }

  async next<T extends FromWorker['type']>(type: T): Promise<Extract<FromWorker, { type: T }>> {
    const found = await new Promise<FromWorker>((resolve) => (this.#waiting = { type, resolve }));
    return found as Extract<FromWorker, { type: T }>;
  }

  knows(other: Rig, address: string, change: Partial<PeerMessage> = {}): number {
    const slot = this.slots.take() as number;
    this.endpoint.receive([{ ...this.settingsOf(slot, other, address), ...change }]);
    return slot;
  }

  settingsOf(slot: number, other: Rig, address: string, expiresAt = Infinity): PeerMessage {
    const endpoint = { host: '127.0.0.1', port: other.udpPort };
    const settings = { presharedKey: undefined, allowedIps: undefined, keepaliveSeconds: 0, expiresAt };
    return { type: 'peer', slot, publicKey: other.keys.publicKey, addresses: [address], endpoint, ...settings };
  }

  async ping(address: string): Promise<boolean> {
    const answer = this.next('answer');
    this.endpoint.receive([{ type: 'ping', call: 1, address, timeoutMs: 300 }]);
    return (await answer).result.ok;
  }

  async close(): Promise<void> {
    this.endpoint.receive([{ type: 'close' }]);
    await this.#closed.promise;
  }
}

describe('the endpoint in its worker', () => {
  let a: Rig;
  let b: Rig;
  beforeEach(async () => {
    [a, b] = [new Rig(addressA), new Rig(addressB)];
    await Promise.all([a.bind(), b.bind()]);
  });
  afterEach(async () => {
    await Promise.all([a.close(), b.close()]);
  });

  it('wipes the private key it was given', () => {
    expect(a.open.privateKey).toEqual(new Uint8Array(32));
  });

  it('takes no further packet of a peer that was marked as revoked, before any message says so', async () => {
    const slot = b.knows(a, addressA, { endpoint: undefined });
    a.knows(b, addressB);
    expect(await a.ping(addressB)).toBe(true);
    b.slots.revoke(slot);
    expect(await a.ping(addressB)).toBe(false);
    const status = b.next('answer');
    b.endpoint.receive([{ type: 'status', call: 2 }]);
    const { result } = await status;
    expect(result.ok && result.status?.peers).toEqual([]);
  });

  it('does not take up a peer whose revocation overtook it', async () => {
    const slot = b.slots.take() as number;
    b.slots.revoke(slot);
    b.endpoint.receive([b.settingsOf(slot, a, addressA)]);
    a.knows(b, addressB);
    expect(await a.ping(addressB)).toBe(false);
  });

  it('lets go of a slot only when it is told to', async () => {
    const slot = b.knows(a, addressA, { expiresAt: Date.now() - 1 });
    const ended = await b.next('peer_ended');
    expect(ended).toMatchObject({ slot, problem: 'its time on the mesh is over' });
    expect(b.heard.some((one) => one.type === 'slot_free')).toBe(false);
    const freed = b.next('slot_free');
    b.endpoint.receive([{ type: 'remove_peer', slot }]);
    expect(await freed).toMatchObject({ slot });
  });

  it('ends a lease by either clock, whatever somebody does to the other', async () => {
    for (const passes of [
      (clock: SharedClock) => clock.stepWall(60_000),
      (clock: SharedClock) => {
        clock.stepWall(-3_600_000);
        clock.advance(60_000);
      },
    ]) {
      const clock = new SharedClock();
      const c = new Rig('10.137.0.3', clock);
      await c.bind();
      const slot = c.knows(a, addressA, { expiresAt: clock.now() + 60_000 });
      passes(clock);
      const ended = c.next('peer_ended');
      c.endpoint.receive([]);
      expect(await ended).toMatchObject({ slot });
      await c.close();
    }
  });

  it('keeps a peer whose new end came in time, though the old one has passed meanwhile', async () => {
    const clock = new SharedClock();
    const c = new Rig('10.137.0.3', clock);
    await c.bind();
    const slot = c.knows(a, addressA, { expiresAt: clock.now() + 60_000 });
    const put = c.settingsOf(slot, a, addressA, clock.now() + 120_000);
    const answer = c.next('answer');
    c.pending.push(put, { type: 'status', call: 3 });
    clock.advance(60_000);
    // A turn that began for another reason.
    c.endpoint.receive([]);
    const { result } = await answer;
    expect(result.ok && result.status?.peers).toHaveLength(1);
    await c.close();
  });
});
