import { IpStack } from '@coral/tcp';
import type { SeededRandom, TimedPart, VirtualClock } from '@coral/testing';
import { WireGuardDevice, type DevicePeer, type Endpoint } from '@coral/wireguard';

const mtu = 1_280;

/** One end: device and stack, and where its datagrams go. */
export class Machine {
  readonly device: WireGuardDevice;
  readonly stack: IpStack;
  peer!: DevicePeer;

  constructor(
    clock: VirtualClock,
    random: SeededRandom,
    address: string,
    send: (datagram: Buffer, to: Endpoint) => void,
    onHandshake: () => void,
  ) {
    this.device = new WireGuardDevice({
      privateKey: random.bytes(32),
      clock,
      random: random.bytes,
      limits: { mtu },
      output: {
        send,
        receive: (packet) => this.stack.onPacket(packet),
        event: (event) => event.kind === 'handshake' && onHandshake(),
      },
    });
    this.stack = new IpStack({
      addresses: [address],
      mtu,
      clock,
      random: random.bytes,
      output: { packet: (packet) => void this.device.sendPacket(packet) },
    });
  }
}

/** Timers as a process has them. */
export function onWholeMs(part: TimedPart): TimedPart {
  return {
    nextTimerAt: () => Math.ceil(part.nextTimerAt()),
    onTimer: () => part.onTimer(),
    endOfTurn: () => part.endOfTurn?.(),
    get backlog() {
      return part.backlog ?? 0;
    },
    runBacklog: (max) => part.runBacklog?.(max),
  };
}
