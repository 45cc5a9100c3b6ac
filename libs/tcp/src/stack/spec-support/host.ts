import { MemoryLink, SeededRandom, VirtualClock, type Impairments } from '@coral/testing';
import { parseAddress, type IpAddress } from '../../wire/address.js';
import { readIcmp, type IcmpMessage } from '../../wire/icmp-codec.js';
import { IpHeader, readIpHeader, TCP, UDP } from '../../wire/ip-header.js';
import { Route } from '../../wire/packet-writer.js';
import type { Segment } from '../../wire/segment.js';
import { readSegment } from '../../wire/tcp-codec.js';
import { readUdp, type UdpDatagram } from '../../wire/udp-codec.js';
import { IpStack, type IpStackOptions } from '../ip-stack.js';

export const us = { v4: '10.137.0.1', v6: 'fd42:c0a1::1' };
export const them = { v4: '10.137.0.2', v6: 'fd42:c0a1::2' };

export function address(text: string): IpAddress {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(`not an address: ${text}`);
  return parsed;
}

/** From them to us, as an attacker on the mesh would send. */
export function inbound(version: 4 | 6, from: string = version === 4 ? them.v4 : them.v6): Route {
  return new Route(address(from), address(version === 4 ? us.v4 : us.v6));
}

/** One stack whose packets go nowhere: the test plays the other end. */
export function lonelyHost(options: Partial<IpStackOptions> = {}, clock = new VirtualClock()) {
  const sent: Buffer[] = [];
  const stack = new IpStack({
    addresses: [us.v4, us.v6],
    mtu: 1280,
    clock,
    random: new SeededRandom('us').bytes,
    output: { packet: (packet) => void sent.push(packet) },
    ...options,
  });
  const take = (): Buffer[] => sent.splice(0);
  return { stack, clock, take, takeSegments: () => take().map(asSegment) };
}

/** Two stacks with a link each way, on one clock. */
export function twoHosts(
  seed: string,
  options: {
    impairments?: Partial<Impairments>;
    ours?: Partial<IpStackOptions>;
    theirs?: Partial<IpStackOptions>;
  } = {},
) {
  const clock = new VirtualClock();
  const random = new SeededRandom(seed);
  const link = (name: string, deliver: (packet: Buffer) => void) =>
    new MemoryLink({ clock, random: random.fork(name), impairments: options.impairments ?? {}, deliver });
  const there = link('there', (packet) => theirs.onPacket(packet));
  const back = link('back', (packet) => ours.onPacket(packet));
  const ours = new IpStack({
    addresses: [us.v4, us.v6],
    mtu: 1280,
    clock,
    random: random.fork('our stack').bytes,
    output: { packet: there.send },
    ...options.ours,
  });
  const theirs = new IpStack({
    addresses: [them.v4, them.v6],
    mtu: 1280,
    clock,
    random: random.fork('their stack').bytes,
    output: { packet: back.send },
    ...options.theirs,
  });
  clock.attach(ours);
  clock.attach(theirs);
  return { clock, ours, theirs, there, back, random };
}

export function parse(packet: Buffer): { header: IpHeader; view: DataView } {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const header = new IpHeader();
  const problem = readIpHeader(view, header);
  if (problem !== undefined) throw new Error(`a packet of ours cannot be read: ${problem}`);
  return { header, view };
}

export function asSegment(packet: Buffer): Segment {
  const { header, view } = parse(packet);
  const segment = header.protocol === TCP ? readSegment(packet, view, header) : 'not TCP';
  if (typeof segment === 'string') throw new Error(segment);
  return segment;
}

export function asUdp(packet: Buffer): UdpDatagram {
  const { header, view } = parse(packet);
  const datagram = header.protocol === UDP ? readUdp(packet, view, header) : 'not UDP';
  if (typeof datagram === 'string') throw new Error(datagram);
  return datagram;
}

export function asIcmp(packet: Buffer): IcmpMessage {
  const { header, view } = parse(packet);
  const message = readIcmp(packet, view, header);
  if (typeof message === 'string') throw new Error(message);
  return message;
}

/** The counters of drops that are not 0. */
export function drops(stack: IpStack): Record<string, number> {
  return Object.fromEntries(Object.entries(stack.counters().drops).filter(([, count]) => count > 0));
}
