import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { SeededRandom, type Impairments } from '@coral/testing';
import type { TcpConnection, TcpError } from '../connection/index.js';
import { them, twoHosts, us } from './spec-support/host.js';

/** More by hand: `CORAL_TCP_SEEDS=200`. */
const seeds = Number(process.env['CORAL_TCP_SEEDS'] ?? 4);
const none = { connections: 0, halfOpen: 0, timeWait: 0, memoryBytes: 0, peers: 0 };

interface Stream {
  sent: string;
  got: string;
  error: TcpError | undefined;
  isOver: boolean;
}

/** Writes `bytes` in pieces as there is room, then ends; takes what comes, with pauses; says when all is over. */
function converse(connection: TcpConnection, random: SeededRandom, size: number, stream: Stream, wake: () => void) {
  const out = createHash('sha256');
  const into = createHash('sha256');
  let left = size;
  const write = () => {
    while (left > 0) {
      const piece = random.bytes(Math.min(left, random.between(1, 20_000)));
      left -= piece.length;
      out.update(piece);
      if (!connection.write(piece)) return;
    }
    stream.sent = out.digest('hex');
    left = -1;
    connection.end();
  };
  const read = () => {
    for (let bytes = connection.read(); bytes !== undefined; bytes = connection.read()) into.update(bytes);
  };
  return {
    connected: write,
    writable: () => {
      if (left >= 0) write();
    },
    // A slow reader now and then: the window shuts and opens.
    readable: () => {
      if (random.chance(0.9)) read();
      else wake();
    },
    ended: () => {
      stream.got = into.digest('hex');
    },
    closed: (error: TcpError | undefined) => {
      stream.error = error;
      stream.isOver = true;
    },
    read,
    write,
  };
}

const paths: [string, Partial<Impairments>][] = [
  ['a clean path', { delayMs: 5 }],
  ['1 % loss', { delayMs: 10, loss: 0.01 }],
  [
    '5 % loss, reordering, duplicates, spoilt bits',
    { delayMs: 20, jitterMs: 5, loss: 0.05, reorder: 0.05, reorderByMs: 8, duplicate: 0.02, corrupt: 0.01 },
  ],
  ['a slow link with a short queue', { delayMs: 10, rate: 20_000_000, queueBytes: 60_000 }],
];

describe.each(paths)('many connections over %s', (name, impairments) => {
  it('carry every byte both ways, and leave nothing behind', () => {
    for (let seed = 0; seed < Math.ceil(seeds / paths.length); seed += 1) {
      const { clock, ours, theirs, random } = twoHosts(`${name} ${seed}`, { impairments });
      const streams: [Stream, Stream][] = [];
      const fresh = (): Stream => ({ sent: '', got: '', error: undefined, isOver: false });
      const byPort = new Map<number, [Stream, Stream]>();
      const later = (read: () => void) => clock.after(random.between(1, 400), read);
      theirs.listen(9000, (connection) => {
        const pair = byPort.get(connection.remote.port);
        if (pair === undefined) return undefined;
        const talk = converse(connection, random, random.below(150_000), pair[1], () => later(talk.read));
        clock.after(0, talk.write);
        return talk;
      });
      for (let n = 0; n < 30; n += 1) {
        const pair: [Stream, Stream] = [fresh(), fresh()];
        streams.push(pair);
        const port = 20_000 + n;
        byPort.set(port, pair);
        clock.after(random.below(300), () => {
          const handlers: Partial<ReturnType<typeof converse>> = {};
          const connection = ours.connect({
            address: n % 2 === 0 ? them.v4 : them.v6,
            port: 9000,
            localPort: port,
            handlers,
          });
          const talk = converse(connection, random, random.below(150_000), pair[0], () => later(talk.read));
          Object.assign(handlers, talk);
        });
      }
      clock.runUntil(() => streams.every(([mine, yours]) => mine.isOver && yours.isOver), 300_000);
      for (const [mine, yours] of streams) {
        expect([mine.error, yours.error]).toEqual([undefined, undefined]);
        expect([mine.got, yours.got]).toEqual([yours.sent, mine.sent]);
      }
      clock.advance(130_000);
      expect([ours.counters(), theirs.counters()]).toMatchObject([none, none]);
      expect(clock.nextAt()).toBe(Infinity);
    }
  });
});

describe('ten thousand connections', () => {
  it('cost nothing while they are idle, and one of them no more than if it were alone', () => {
    const limits = {
      maxConnections: 20_000,
      maxConnectionsPerPeer: 20_000,
      maxHalfOpen: 20_000,
      maxHalfOpenPerPeer: 20_000,
    };
    const { clock, ours, theirs, there } = twoHosts('ten thousand', {
      impairments: { delayMs: 1 },
      ours: { limits },
      theirs: { limits },
    });
    const accepted: TcpConnection[] = [];
    theirs.listen(9000, (connection) => {
      accepted.push(connection);
      return {
        readable: () => {
          while (connection.read() !== undefined);
        },
      };
    });
    const opened = Array.from({ length: 10_000 }, () => ours.connect({ address: them.v4, port: 9000, handlers: {} }));
    clock.runUntilIdle(10_000);
    expect(accepted).toHaveLength(10_000);
    // Nobody has anything to wait for.
    expect([clock.nextAt(), ours.counters().halfOpen]).toEqual([Infinity, 0]);
    const before = there.counters.offered;
    opened[5000]?.write(Buffer.alloc(100_000));
    clock.runUntilIdle(10_000);
    expect(there.counters.offered - before).toBeLessThan(200);
    // Many at once: each timer fires, none is lost.
    for (const connection of opened.slice(0, 2000)) connection.write(Buffer.alloc(10));
    there.impair({ loss: 1 });
    clock.advance(1000);
    there.impair({ loss: 0 });
    clock.advance(10_000);
    expect([ours.counters().memoryBytes, theirs.counters().memoryBytes]).toEqual([0, 0]);
    theirs.cutPeer(us.v4);
    expect(theirs.counters()).toMatchObject(none);
  });
});
