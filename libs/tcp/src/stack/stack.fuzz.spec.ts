import { describe, expect, it } from 'vitest';
import { SeededRandom } from '@coral/testing';
import { writeEcho, writeUnreachable } from '../wire/icmp-codec.js';
import { addToSum, checksumOf } from '../wire/checksum.js';
import { ICMP, ICMPV6, IpHeader, pseudoHeaderSum, readIpHeader, TCP, UDP } from '../wire/ip-header.js';
import { PacketWriter, Route } from '../wire/packet-writer.js';
import { NO_OPTIONS } from '../wire/segment.js';
import { writeSegment } from '../wire/tcp-codec.js';
import { writeUdp } from '../wire/udp-codec.js';
import { address, drops, inbound, lonelyHost, parse, them, us } from './spec-support/host.js';

/** More by hand: `CORAL_FUZZ_STACK_PACKETS=1000000`. */
const packets = Number(process.env['CORAL_FUZZ_STACK_PACKETS'] ?? 30_000);

function rightChecksums(packet: Buffer): void {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const headerBytes = ((packet[0] ?? 0) & 0xf) * 4;
  if ((packet[0] ?? 0) >>> 4 === 4 && headerBytes >= 20 && headerBytes <= packet.length) {
    packet.writeUInt16BE(0, 10);
    packet.writeUInt16BE(checksumOf(addToSum(0, view, 0, headerBytes)), 10);
  }
  const header = new IpHeader();
  if (readIpHeader(view, header) !== undefined) return;
  const field = { [TCP]: 16, [UDP]: 6, [ICMP]: 2, [ICMPV6]: 2 }[header.protocol];
  if (field === undefined || header.start + field + 2 > header.end) return;
  packet.writeUInt16BE(0, header.start + field);
  const seed = header.protocol === ICMP ? 0 : pseudoHeaderSum(view, header);
  packet.writeUInt16BE(checksumOf(addToSum(seed, view, header.start, header.end)), header.start + field);
}

describe('a stack under a rain of spoilt packets', () => {
  it(`${packets} packets: throws at none, holds no more than it may, and is as new when they are over`, () => {
    const random = new SeededRandom('rain');
    const limits = {
      maxHalfOpen: 20,
      maxHalfOpenPerPeer: 16,
      maxConnections: 40,
      maxConnectionsPerPeer: 32,
      maxMemoryBytes: 150_000,
      maxMemoryBytesPerPeer: 100_000,
      timeWaitMs: 1000,
    };
    const { stack, clock, take } = lonelyHost({ limits });
    clock.attach(stack);
    stack.listen(9000, (connection) => {
      let hasEnded = false;
      return {
        readable: () => {
          if (random.chance(0.5)) connection.read();
          if (!hasEnded && random.chance(0.3)) connection.write(random.bytes(random.below(5000)));
          if (!random.chance(0.1)) return;
          hasEnded = true;
          connection.end();
        },
      };
    });
    stack.bindUdp(53, { datagram: () => {} });
    const writer = new PacketWriter();
    let lastSeen: { seq: number; ack: number } = { seq: 0, ack: 0 };
    const word = () => (random.chance(0.5) ? lastSeen.seq + random.below(3) : random.u32()) >>> 0;
    const segment = (route: Route) =>
      writeSegment(writer, route, random.between(1, 12), 9000, {
        seq: word(),
        ack: random.chance(0.7) ? lastSeen.ack : word(),
        flags: random.chance(0.3) ? 2 : random.chance(0.6) ? 16 : random.below(256),
        window: random.below(65_536),
        options: random.chance(0.5)
          ? NO_OPTIONS
          : {
              mss: random.below(65_536),
              windowScale: random.below(256),
              sackPermitted: random.chance(0.5),
              sack: random.chance(0.5)
                ? [
                    [word(), word()],
                    [word(), word()],
                  ]
                : undefined,
              timestamp: random.chance(0.5) ? { value: word(), echo: word() } : undefined,
            },
        payloadLength: random.chance(0.5) ? 0 : 200,
        writePayload: () => {},
      });
    for (let n = 0; n < packets; n += 1) {
      const route = inbound(random.pick([4, 6]));
      const cause = writeUdp(writer, new Route(address(us.v4), address(them.v4)), 53, 53, Buffer.alloc(9));
      const packet = Buffer.from(
        random.pick([
          () => segment(route),
          () => segment(route),
          () => segment(route),
          () => writeUdp(writer, route, 53, random.pick([53, 54]), Buffer.alloc(5)),
          () => writeEcho(writer, route, random.pick(['echo_request', 'echo_reply']), 1, 1, Buffer.alloc(5)),
          () => writeUnreachable(writer, inbound(4), random.pick(['port', 'protocol']), cause, parse(cause).header),
        ])(),
      );
      for (let flips = random.below(3); flips > 0; flips -= 1) packet[random.below(packet.length)] = random.below(256);
      if (random.chance(0.9)) rightChecksums(packet);
      stack.onPacket(packet);
      if (random.chance(0.2)) stack.endOfTurn();
      if (random.chance(0.05)) clock.advance(random.below(500));
      for (const answer of take()) {
        const { header, view } = parse(answer);
        if (header.protocol !== TCP) continue;
        // An attacker on the path knows the numbers: go on with what the stack said last.
        lastSeen = { seq: view.getUint32(header.start + 8), ack: view.getUint32(header.start + 4) };
      }
      const { halfOpen, connections, memoryBytes } = stack.counters();
      expect(halfOpen).toBeLessThanOrEqual(20);
      expect(connections).toBeLessThanOrEqual(40);
      expect(memoryBytes).toBeLessThan(400_000);
    }
    expect(Object.keys(drops(stack)).length).toBeGreaterThan(10);
    expect(stack.counters().connectionsAccepted).toBeGreaterThan(0);
    clock.advance(600_000);
    stack.close();
    expect(stack.counters()).toMatchObject({ connections: 0, halfOpen: 0, timeWait: 0, memoryBytes: 0, peers: 0 });
  });
});
