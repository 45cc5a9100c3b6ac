import { randomBytes } from 'node:crypto';
import type { DeviceLimits } from '@coral/wireguard';
import { DeviceOnUdp } from './device-on-udp.js';
import { NetworkNamespace } from './network-namespace.js';
import { WireGuardGo } from './wireguard-go.js';

/** Inner addresses. Each of our ends takes a number of its own, so that several can share one wireguard-go. */
export const foreignInner = { v4: '10.77.0.1', v6: 'fd77::1' };
export const ourInner = (n: number): { v4: string; v6: string } => ({
  v4: `10.77.0.${n}`,
  v6: `fd77::${n.toString(16)}`,
});

export type Family = 'v4' | 'v6';

export interface PingOptions {
  intervalSeconds?: number;
  deadlineSeconds?: number;
}

export interface PingResult {
  sent: number;
  answered: number;
}

/** wireguard-go in its namespace, to which any number of our devices can be joined. */
export class Foreign {
  readonly namespace: NetworkNamespace;
  readonly go: WireGuardGo;
  readonly publicKey: Buffer;
  #next = 2;

  static async start(): Promise<Foreign> {
    const namespace = await NetworkNamespace.create();
    const privateKey = randomBytes(32);
    const go = await WireGuardGo.start(namespace, {
      privateKey,
      addresses: [`${foreignInner.v4}/24`, `${foreignInner.v6}/64`],
    });
    const publicKey = await namespace.run('wg', ['pubkey'], { input: privateKey.toString('base64') });
    return new Foreign(namespace, go, Buffer.from(publicKey, 'base64'));
  }

  private constructor(namespace: NetworkNamespace, go: WireGuardGo, publicKey: Buffer) {
    this.namespace = namespace;
    this.go = go;
    this.publicKey = publicKey;
  }

  /**
   * A device of ours and wireguard-go, each knowing the other. Only the end that `speaksFirst` is told where the other
   * one is: so only it can start the handshake.
   */
  async join(o: {
    speaksFirst: 'ours' | 'foreign';
    outer?: Family;
    presharedKey?: Uint8Array;
    limits?: Partial<DeviceLimits>;
  }): Promise<Joined> {
    const outer = o.outer ?? 'v4';
    const inner = ourInner((this.#next += 1));
    const host = this.namespace.here[outer];
    const ours = await DeviceOnUdp.open({ host, addresses: [inner.v4, inner.v6], limits: o.limits ?? {} });
    const presharedKey = o.presharedKey ? { presharedKey: o.presharedKey } : {};
    const foreignEnd = { host: this.namespace.there[outer], port: this.go.port };
    const peer = ours.device.addPeer({
      publicKey: this.publicKey,
      allowedIps: [`${foreignInner.v4}/32`, `${foreignInner.v6}/128`],
      ...(o.speaksFirst === 'ours'
        ? { endpoint: { carrier: 'udp', address: foreignEnd.host, port: foreignEnd.port } }
        : {}),
      ...presharedKey,
    });
    await this.go.setPeer({
      publicKey: ours.publicKey,
      allowedIps: [`${inner.v4}/32`, `${inner.v6}/128`],
      ...(o.speaksFirst === 'foreign' ? { endpoint: { host, port: ours.port } } : {}),
      ...presharedKey,
    });
    return { ours, peer, inner, foreignEnd };
  }

  /**
   * `ping` from the kernel behind wireguard-go until `count` were answered, at the latest until the deadline. Not by
   * `-W`: that waits for two round trips only, which a busy machine can take away from us.
   */
  async ping(address: string, count: number, o: PingOptions = {}): Promise<PingResult> {
    const { intervalSeconds = 0.2, deadlineSeconds = Math.ceil(count * intervalSeconds) + 8 } = o;
    const args = ['-n', '-c', String(count), '-i', String(intervalSeconds), '-w', String(deadlineSeconds), address];
    // It fails when none is answered, and says so on stdout, not on stderr.
    const output = await this.namespace.run('sh', ['-c', `ping ${args.join(' ')} || true`]);
    const [, sent, answered] = /(\d+) packets transmitted, (\d+) received/.exec(output) ?? [];
    if (answered === undefined) throw new Error(`ping did not say what it received: ${output}`);
    return { sent: Number(sent), answered: Number(answered) };
  }

  /** Whether so many pings are answered in time. It may be more: those that waited for a session arrive all at once. */
  async reaches(address: string, count: number, o: PingOptions = {}): Promise<boolean> {
    const { answered } = await this.ping(address, count, o);
    return answered >= count;
  }

  async stop(): Promise<void> {
    await this.go.stop();
    await this.namespace.remove();
  }
}

export interface Joined {
  ours: DeviceOnUdp;
  peer: ReturnType<DeviceOnUdp['device']['addPeer']>;
  inner: { v4: string; v6: string };
  /** Where wireguard-go listens, outside. */
  foreignEnd: { host: string; port: number };
}
