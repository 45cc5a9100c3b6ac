// For the specs of the relay: an end of the mesh on real sockets and the real clock, in this thread.
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { EventEmitter, once } from 'node:events';
import { systemClock } from '@coral/model';
import { IpStack, type TcpConnection } from '@coral/tcp';
import { WireGuardDevice, type DevicePeer, type Endpoint } from '@coral/wireguard';
import type { RacedPath } from '../raced-path.js';

const mtu = 1_280;
export const addresses = { client: '10.137.64.1', colony: '10.137.0.1' };

/** A device and a stack on the real clock. `path` gets its timers too. */
export class Machine extends EventEmitter<{ read: [] }> {
  readonly device: WireGuardDevice;
  readonly stack: IpStack;
  readonly socket: Socket;
  peer!: DevicePeer;
  path: RacedPath | undefined;
  read = 0;
  #timer: NodeJS.Timeout | undefined;
  #due = false;
  #closed = false;

  constructor(name: keyof typeof addresses, send: (datagram: Buffer, to: Endpoint) => void) {
    super();
    this.socket = createSocket('udp4');
    this.device = new WireGuardDevice({
      privateKey: randomBytes(32),
      clock: systemClock,
      random: randomBytes,
      limits: { mtu },
      output: {
        send,
        receive: (packet) => this.stack.onPacket(packet),
        event: (event) => event.kind === 'handshake' && this.path?.handshakeMade(),
      },
    });
    this.stack = new IpStack({
      addresses: [addresses[name]],
      mtu,
      clock: systemClock,
      random: randomBytes,
      output: { packet: (packet) => void this.device.sendPacket(packet) },
    });
  }

  /** Whatever happened, the turn has to end. */
  soon(): void {
    if (this.#due || this.#closed) return;
    this.#due = true;
    setImmediate(() => {
      this.#due = false;
      if (this.#closed) return;
      if (this.device.backlog > 0) this.device.runBacklog(16);
      for (const part of [this.device, this.stack, ...(this.path ? [this.path] : [])]) {
        if (part.nextTimerAt() <= systemClock.monotonic()) part.onTimer();
      }
      this.stack.endOfTurn();
      const next = Math.min(this.device.nextTimerAt(), this.stack.nextTimerAt(), this.path?.nextTimerAt() ?? Infinity);
      clearTimeout(this.#timer);
      if (next !== Infinity) {
        this.#timer = setTimeout(() => this.soon(), Math.max(1, Math.ceil(next - systemClock.monotonic())));
      }
    });
  }

  drain(connection: TcpConnection): void {
    for (let bytes = connection.read(); bytes; bytes = connection.read()) this.read += bytes.length;
    this.emit('read');
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.path?.close();
    this.stack.close();
    this.device.close();
    this.socket.close();
  }
}

/** So many more bytes have been read. */
export async function reads(machine: Machine, bytes: number): Promise<void> {
  const enough = machine.read + bytes;
  while (machine.read < enough) await once(machine, 'read');
}
