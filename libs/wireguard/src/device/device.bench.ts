// What a device costs, in microseconds of this thread's CPU. By hand, bundled so that nothing but the code is measured:
//   rolldown -p node --tsconfig tsconfig.json libs/wireguard/src/device/device.bench.ts -o dist/bench/wireguard-device.js
//   node --expose-gc dist/bench/wireguard-device.js [case…]
import { randomBytes } from 'node:crypto';
import { systemClock, type Clock } from '@coral/model';
import { WireGuardDevice, type DeviceLimits, type DeviceOutput, type Endpoint } from '../index.js';
import { InitiatorHandshake, localIdentity, remoteIdentity, Tai64n } from '../noise/index.js';
import { packet } from '../spec-support/packets.js';

const rounds = 5;
const place = (i: number): Endpoint => ({ carrier: 'udp', address: `198.51.${i >> 8}.${i & 255}`, port: 1024 });
const [here, there] = [place(1), place(2)];

interface Side {
  device: WireGuardDevice;
  sent: Buffer[];
  received: number;
}

function side(privateKey: Buffer, limits: Partial<DeviceLimits> = {}, clock: Clock = systemClock): Side {
  const made: Partial<Side> & { sent: Buffer[]; received: number } = { sent: [], received: 0 };
  const output: DeviceOutput = {
    send: (datagram) => made.sent.push(datagram),
    receive: () => made.received++,
    event: () => {},
  };
  made.device = new WireGuardDevice({ privateKey, clock, random: randomBytes, output, limits });
  return made as Side;
}

function connected(): { left: Side; right: Side } {
  const [left, right] = [side(randomBytes(32)), side(randomBytes(32))];
  left.device.addPeer({ publicKey: right.device.publicKey, allowedIps: ['10.137.0.2'], endpoint: there });
  right.device.addPeer({ publicKey: left.device.publicKey, allowedIps: ['10.137.0.1'], endpoint: here });
  left.device.sendPacket(packet('10.137.0.1', '10.137.0.2'));
  for (let i = 0; i < 4; i++) {
    for (const datagram of left.sent.splice(0)) right.device.onDatagram(datagram, here);
    right.device.runBacklog(9);
    for (const datagram of right.sent.splice(0)) left.device.onDatagram(datagram, there);
    left.device.runBacklog(9);
  }
  if (right.received !== 1) throw new Error('no session');
  return { left, right };
}

/** Microseconds of CPU per call of `run`, best and median of the rounds. */
function measure(name: string, count: number, prepare: () => () => void): void {
  const costs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const run = prepare();
    const before = process.threadCpuUsage();
    run();
    const { user, system } = process.threadCpuUsage(before);
    costs.push((user + system) / count);
  }
  costs.sort((a, b) => a - b);
  const per = costs[0] as number;
  console.log(
    `${name.padEnd(46)} ${per.toFixed(2)} µs  (median ${costs[rounds >> 1]?.toFixed(2)})  ${Math.round(1e6 / per)}/s`,
  );
}

const cases: Record<string, () => void> = {
  send() {
    for (const bytes of [40, 1_280, 1_420]) {
      const { left } = connected();
      const inner = packet('10.137.0.1', '10.137.0.2', { bytes });
      measure(`send ${bytes} B`, 50_000, () => () => {
        for (let i = 0; i < 50_000; i++) {
          left.device.sendPacket(inner);
          left.sent.length = 0;
        }
      });
    }
  },
  receive() {
    for (const bytes of [40, 1_280, 1_420]) {
      const { left, right } = connected();
      const inner = packet('10.137.0.1', '10.137.0.2', { bytes });
      measure(`receive ${bytes} B`, 20_000, () => {
        for (let i = 0; i < 20_000; i++) left.device.sendPacket(inner);
        const datagrams = left.sent.splice(0);
        return () => {
          for (const datagram of datagrams) right.device.onDatagram(datagram, here);
        };
      });
    }
  },
  handshakes() {
    const count = 500;
    const colony = side(randomBytes(32), { backlogUnderLoad: 1e9, backlog: 1e6 });
    const timestamps = new Tai64n(systemClock);
    const clients = Array.from({ length: count }, (_, i) => {
      const local = localIdentity(randomBytes(32));
      colony.device.addPeer({ publicKey: local.publicKey, allowedIps: [`10.138.${i >> 8}.${i & 255}`] });
      return { local, remote: remoteIdentity(local, colony.device.publicKey), from: place(1_000 + i) };
    });
    measure('handshake, responder', count, () => {
      const end = performance.now() + 25;
      while (performance.now() < end);
      for (const { local, remote, from } of clients) {
        const o = { localIndex: 1, timestamp: timestamps.next(), random: randomBytes };
        colony.device.onDatagram(new InitiatorHandshake(local, remote, o).message, from);
      }
      return () => colony.device.runBacklog(count);
    });
    const { responsesSent, drops } = colony.device.counters();
    if (responsesSent !== rounds * count) throw new Error(`${responsesSent} answered, ${JSON.stringify(drops)}`);
  },
  flood() {
    const count = 20_000;
    const flood = (name: string, make: (i: number, victim: Side) => Buffer, sources: number) => {
      // The clock stands so that the caps do not fill up again: the rate is worked out below.
      let now = systemClock.monotonic();
      const clock: Clock = { now: () => Date.now(), monotonic: () => now };
      const victim = side(randomBytes(32), {}, clock);
      const from = Array.from({ length: sources }, (_, i) => place(i));
      const messages = Array.from({ length: Math.min(count, 2_000) }, (_, i) => make(i, victim));
      measure(name, count, () => () => {
        for (let i = 0; i < count; i++) {
          victim.device.onDatagram(messages[i % messages.length] as Buffer, from[i % sources] as Endpoint);
          // 50,000 a second, in turns of 32 with 8 handshakes each.
          if (i % 32 === 31) {
            now += 32 / 50;
            victim.device.runBacklog(8);
            victim.sent.length = 0;
          }
        }
      });
      const { drops, cookieRepliesSent } = victim.device.counters();
      const some = Object.entries(drops).filter(([, dropped]) => dropped > 0);
      const seconds = (rounds * count) / 50_000;
      console.log(
        `    ${some.map(([reason, dropped]) => `${reason} ${dropped}`).join(', ')}; ${Math.round(cookieRepliesSent / seconds)} cookie replies/s`,
      );
    };
    const stranger = localIdentity(randomBytes(32));
    const timestamps = new Tai64n(systemClock);
    const initiation = (i: number, victim: Side) => {
      const remote = remoteIdentity(stranger, victim.device.publicKey);
      return new InitiatorHandshake(stranger, remote, {
        localIndex: i,
        timestamp: timestamps.next(),
        random: randomBytes,
      }).message;
    };
    flood('flood: random bytes', () => randomBytes(148), 100);
    flood('flood: type 4, unknown index', () => Buffer.concat([Buffer.of(4, 0, 0, 0), randomBytes(144)]), 100);
    flood('flood: initiation, wrong mac1', () => Buffer.concat([Buffer.of(1, 0, 0, 0), randomBytes(144)]), 100);
    const guessed = (i: number, victim: Side) => {
      const message = initiation(i, victim);
      randomBytes(16).copy(message, 132);
      return message;
    };
    flood('flood: right mac1, guessed mac2, 1 source', guessed, 1);
    flood('flood: right mac1, no cookie, 1 source', initiation, 1);
    flood('flood: right mac1, no cookie, 10,000 sources', initiation, 10_000);
    flood('flood: right mac1, no cookie, 50,000 sources', initiation, 50_000);
  },
  memory() {
    const count = 1_000;
    const collect = (): number => {
      if (!globalThis.gc) throw new Error('node --expose-gc');
      for (let i = 0; i < 4; i++) globalThis.gc();
      const { heapUsed, external } = process.memoryUsage();
      return (heapUsed + external) / 1024;
    };
    const timestamps = new Tai64n(systemClock);
    const colony = side(randomBytes(32), { backlogUnderLoad: 1e9, backlog: 1e6 });
    const join = (i: number, withSession: boolean) => {
      const local = localIdentity(randomBytes(32));
      colony.device.addPeer({
        publicKey: local.publicKey,
        allowedIps: [`10.138.${i >> 8}.${i & 255}`, `fd42::${i.toString(16)}`],
      });
      if (!withSession) return;
      const remote = remoteIdentity(local, colony.device.publicKey);
      const o = { localIndex: i, timestamp: timestamps.next(), random: randomBytes };
      colony.device.onDatagram(new InitiatorHandshake(local, remote, o).message, place(i));
      colony.device.runBacklog(1);
      colony.sent.length = 0;
    };
    join(60_000, true);
    for (const withSession of [false, true]) {
      const before = collect();
      const rss = process.memoryUsage().rss;
      for (let i = 0; i < count; i++) join((withSession ? count : 0) + i, withSession);
      const after = collect();
      const resident = (process.memoryUsage().rss - rss) / 1024 / count;
      console.log(
        `idle peer ${withSession ? 'with' : 'without'} session: ${((after - before) / count).toFixed(1)} KiB heap + external, ${resident.toFixed(1)} KiB resident`,
      );
    }
  },
};

const wanted = process.argv.slice(2);
for (const [name, run] of Object.entries(cases)) if (wanted.length === 0 || wanted.includes(name)) run();
