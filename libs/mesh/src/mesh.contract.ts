// What every mesh driver must do, whatever is below it. A driver's spec calls meshContract with its own pair.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2';
import { buffer, text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Mesh, MeshSocket, Peer } from './mesh.js';

/** Two ends that know each other, on one clock that the test turns. */
export interface MeshPair {
  server: Mesh;
  client: Mesh;
  /** Each as the other end's table has it, without an end. */
  serverPeer: Peer;
  clientPeer: Peer;
  clock: { now(): number; advance(ms: number): void };
}

/** Longer than any driver may take to cut an idle stream whose time is over. */
const cutWithinMs = 1_000;
/** For dials that a driver may leave without any answer, as WireGuard does with strangers. */
const unanswered = { timeoutMs: 300 };

export function meshContract(makePair: () => Promise<MeshPair>): void {
  describe('as a mesh', () => {
    let pair: MeshPair;
    let address: string;
    beforeEach(async () => {
      pair = await makePair();
      address = pair.serverPeer.addresses[0] as string;
    });
    afterEach(async () => {
      await pair.client.close();
      await pair.server.close();
    });

    /** A stream from client to server: both ends. */
    async function open(port = 9_000): Promise<{ near: MeshSocket; far: MeshSocket; close(): Promise<void> }> {
      const arrived = Promise.withResolvers<MeshSocket>();
      const listener = await pair.server.listen(port, arrived.resolve);
      const near = await pair.client.dial(address, listener.port);
      return { near, far: await arrived.promise, close: () => listener.close() };
    }

    const closed = async (socket: MeshSocket): Promise<void> => {
      if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
    };

    /** Round trips on other streams: by then, whatever was on its way through this process has arrived. */
    async function someTurns(): Promise<void> {
      const listener = await pair.server.listen(0, (socket) => socket.pipe(socket));
      for (let i = 0; i < 20; i++) {
        const socket = await pair.client.dial(address, listener.port);
        socket.end('x');
        await text(socket);
      }
      await listener.close();
    }

    it('carries bytes both ways and hands up who is at the far end', async () => {
      const { near, far } = await open();
      expect(far.peer).toBe(pair.client.keyId);
      expect(far.remoteAddress).toBe(pair.clientPeer.addresses[0]);
      expect(near.peer).toBe(pair.server.keyId);
      expect([near.remoteAddress, near.remotePort]).toEqual([address, 9_000]);
      far.pipe(far);
      near.end('hello');
      expect(await text(near)).toBe('hello');
    });

    it('lets one end finish while the other goes on', async () => {
      const { near, far } = await open();
      near.end('question');
      expect(await text(far)).toBe('question');
      const answer = randomBytes(1_000_000);
      far.end(answer);
      expect((await buffer(near)).equals(answer)).toBe(true);
      await Promise.all([closed(near), closed(far)]);
      expect([near.errored, far.errored]).toEqual([null, null]);
    });

    it('keeps what arrived before an orderly end until somebody reads it', async () => {
      const { near, far } = await open();
      far.end('answer');
      expect(await text(near)).toBe('answer');
      near.end('thanks');
      await closed(near);
      await someTurns();
      expect(await text(far)).toBe('thanks');
      await closed(far);
      expect(far.errored).toBeNull();
    });

    it('stalls a writer nobody reads, and then delivers all 8 MB', async () => {
      const { near, far } = await open();
      const sent = createHash('sha256');
      const chunk = 64 * 1024;
      let written = 0;
      let stalled = 0;
      const total = 8 * 1024 * 1024;
      const writing = (async () => {
        while (written < total) {
          const bytes = randomBytes(chunk);
          sent.update(bytes);
          written += chunk;
          if (near.write(bytes)) continue;
          stalled++;
          await once(near, 'drain');
        }
        near.end();
      })();
      await once(far, 'readable');
      let before: number;
      do {
        before = written;
        await someTurns();
      } while (written !== before);
      // What nobody asked for may not pile up at either end.
      expect(far.readableLength).toBeLessThan(1024 * 1024);
      expect(near.writableLength).toBeLessThan(1024 * 1024);
      const got = createHash('sha256');
      let received = 0;
      for await (const bytes of far as AsyncIterable<Buffer>) {
        got.update(bytes);
        received += bytes.length;
      }
      await writing;
      expect(received).toBe(total);
      expect(got.digest('hex')).toBe(sent.digest('hex'));
      expect(stalled).toBeGreaterThan(0);
    });

    it('keeps 50 streams at once apart', async () => {
      await pair.server.listen(9_000, (socket) => socket.pipe(socket));
      const all = await Promise.all(
        Array.from({ length: 50 }, async () => {
          const bytes = randomBytes(64 * 1024);
          const socket = await pair.client.dial(address, 9_000);
          socket.end(bytes);
          return (await buffer(socket)).equals(bytes);
        }),
      );
      expect(all).toEqual(Array.from({ length: 50 }, () => true));
    });

    it('knows no stranger: neither as one to dial nor as one who dials', async () => {
      await expect(pair.client.dial('10.137.200.200', 9_000)).rejects.toMatchObject({
        kind: 'unavailable',
        reason: 'mesh_unknown_peer',
      });
      let arrived = 0;
      await pair.server.listen(9_000, () => arrived++);
      pair.server.removePeer(pair.client.keyId);
      await expect(pair.client.dial(address, 9_000, unanswered)).rejects.toMatchObject({ kind: 'unavailable' });
      expect(arrived).toBe(0);
    });

    it('admits nobody whose time is over, at either end', async () => {
      let arrived = 0;
      await pair.server.listen(9_000, () => arrived++);
      pair.server.addPeer({ ...pair.clientPeer, expiresAt: pair.clock.now() + 1_000 });
      pair.clock.advance(1_000);
      await expect(pair.client.dial(address, 9_000, unanswered)).rejects.toMatchObject({ kind: 'unavailable' });
      expect(arrived).toBe(0);
      pair.client.addPeer({ ...pair.serverPeer, expiresAt: pair.clock.now() });
      await expect(pair.client.dial(address, 9_000)).rejects.toMatchObject({ reason: 'mesh_peer_gone' });
    });

    it('lets not a byte through after the end, not even one that had arrived', async () => {
      pair.server.addPeer({ ...pair.clientPeer, expiresAt: pair.clock.now() + 60_000 });
      const { near, far } = await open();
      near.write('early');
      await once(far, 'readable');
      pair.clock.advance(60_000);
      near.write('late');
      expect(far.read()).toBeNull();
      const seen: unknown[] = [];
      far.on('data', (bytes) => seen.push(bytes));
      await Promise.all([closed(near), closed(far)]);
      expect(seen).toEqual([]);
      expect(far.errored).toMatchObject({ reason: 'mesh_peer_gone' });
    });

    it('lets not a byte out after the end', async () => {
      pair.server.addPeer({ ...pair.clientPeer, expiresAt: pair.clock.now() + 60_000 });
      const { near, far } = await open();
      const seen: unknown[] = [];
      near.on('data', (bytes) => seen.push(bytes));
      pair.clock.advance(60_000);
      far.write('late');
      await Promise.all([closed(near), closed(far)]);
      expect(seen).toEqual([]);
    });

    it('cuts an idle stream soon after its end, at both ends', async () => {
      pair.server.addPeer({ ...pair.clientPeer, expiresAt: pair.clock.now() + 60_000 });
      const { near, far } = await open();
      near.resume();
      pair.clock.advance(60_000);
      const before = performance.now();
      await Promise.all([closed(near), closed(far)]);
      expect(performance.now() - before).toBeLessThan(cutWithinMs);
    });

    it('goes on when the end is moved in time', async () => {
      pair.server.addPeer({ ...pair.clientPeer, expiresAt: pair.clock.now() + 60_000 });
      const { near, far } = await open();
      pair.server.addPeer({ ...pair.clientPeer, expiresAt: pair.clock.now() + 120_000 });
      pair.clock.advance(60_000);
      far.pipe(far);
      near.end('still here');
      expect(await text(near)).toBe('still here');
    });

    it('never revives what is over by turning the clock back', async () => {
      pair.server.addPeer({ ...pair.clientPeer, expiresAt: pair.clock.now() + 1_000 });
      await pair.server.listen(9_000, (socket) => socket.resume());
      pair.clock.advance(1_000);
      await expect(pair.client.dial(address, 9_000, unanswered)).rejects.toMatchObject({ kind: 'unavailable' });
      pair.clock.advance(-3_600_000);
      await expect(pair.client.dial(address, 9_000, unanswered)).rejects.toMatchObject({ kind: 'unavailable' });
    });

    it('cuts the streams of a removed peer before removePeer returns', async () => {
      const { near, far } = await open();
      const second = await pair.client.dial(address, 9_000);
      pair.server.removePeer(pair.client.keyId);
      expect(far.destroyed).toBe(true);
      near.resume();
      second.resume();
      await Promise.all([closed(near), closed(second), closed(far)]);
      expect(far.errored).toMatchObject({ reason: 'mesh_peer_gone' });
      // Not an orderly end: whoever reads must be able to tell a cut from a complete answer.
      expect(near.errored).toMatchObject({ kind: 'unavailable', reason: 'mesh_peer_gone' });
    });

    it('cuts streams it dialled when their peer is removed', async () => {
      const { near, far } = await open();
      pair.client.removePeer(pair.server.keyId);
      expect(near.destroyed).toBe(true);
      far.resume();
      await closed(far);
      await expect(pair.client.dial(address, 9_000)).rejects.toMatchObject({ reason: 'mesh_unknown_peer' });
    });

    it('refuses a port without a listener, and one whose listener has closed', async () => {
      await expect(pair.client.dial(address, 9_001)).rejects.toMatchObject({
        kind: 'unavailable',
        reason: 'mesh_refused',
      });
      const listener = await pair.server.listen(0, (socket) => socket.destroy());
      expect(listener.port).toBeGreaterThan(0);
      await expect(pair.server.listen(listener.port, () => undefined)).rejects.toMatchObject({
        reason: 'mesh_port_taken',
      });
      await listener.close();
      await expect(pair.client.dial(address, listener.port)).rejects.toMatchObject({ reason: 'mesh_refused' });
    });

    it('refuses to dial ports that are none', async () => {
      for (const port of [0, -1, 65_536, 1.5, Number.NaN]) {
        await expect(pair.client.dial(address, port)).rejects.toMatchObject({ reason: 'bad_mesh_port' });
      }
    });

    it('gives up a dial when told to, before and during', async () => {
      let arrived = 0;
      await pair.server.listen(9_000, () => arrived++);
      const cancelled = { kind: 'cancelled', reason: 'cancelled' };
      await expect(pair.client.dial(address, 9_000, { signal: AbortSignal.abort() })).rejects.toMatchObject(cancelled);
      const controller = new AbortController();
      const dialling = pair.client.dial(address, 9_000, { signal: controller.signal });
      controller.abort();
      await expect(dialling).rejects.toMatchObject(cancelled);
      expect(arrived).toBe(0);
      // And the signal has no power over a stream that stands.
      const late = new AbortController();
      const socket = await pair.client.dial(address, 9_000, { signal: late.signal });
      late.abort();
      expect(socket.destroyed).toBe(false);
    });

    it('closes with all its streams, and then does nothing any more', async () => {
      const { near, far } = await open();
      near.resume();
      far.resume();
      await pair.server.close();
      await Promise.all([closed(near), closed(far)]);
      await pair.server.close();
      await pair.client.close();
      await expect(pair.client.dial(address, 9_000)).rejects.toMatchObject({ reason: 'mesh_closed' });
      await expect(pair.client.listen(9_000, () => undefined)).rejects.toMatchObject({ reason: 'mesh_closed' });
    });

    it('is a socket to HTTP/1.1', async () => {
      const server = createServer((req, res) => res.end(`${req.method} from ${req.socket.remoteAddress}`));
      await pair.server.listen(9_080, (socket) => server.emit('connection', socket));
      const socket = await pair.client.dial(address, 9_080);
      const req = request({ createConnection: () => socket, headers: { connection: 'close' } }).end();
      const [res] = await once(req, 'response');
      expect(await text(res)).toBe(`GET from ${pair.clientPeer.addresses[0]}`);
      await closed(socket);
      server.close();
    });

    it('is a socket to HTTP/2', async () => {
      const server = createHttp2Server((req, res) => res.end(req.url));
      await pair.server.listen(9_000, (socket) => server.emit('connection', socket));
      const socket = await pair.client.dial(address, 9_000);
      const session = connectHttp2('http://mesh', { createConnection: () => socket });
      const paths = Array.from({ length: 20 }, (_, i) => `/${i}`);
      expect(await Promise.all(paths.map((path) => text(session.request({ ':path': path }))))).toEqual(paths);
      session.close();
      await closed(socket);
      server.close();
    });

    it('tells of idleness as a socket does, and not while it is busy', async () => {
      const { near, far } = await open();
      const socket = near as MeshSocket & { setTimeout(ms: number): void; destroySoon(): void };
      socket.setTimeout(20);
      await once(socket, 'timeout');
      expect(socket.destroyed).toBe(false);
      socket.setTimeout(0);
      socket.write('last words');
      socket.destroySoon();
      expect(await text(far)).toBe('last words');
      await closed(socket);
    });
  });
}
