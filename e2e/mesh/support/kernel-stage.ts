import { randomBytes } from 'node:crypto';
import { ImpairmentProxy, type Impairments } from '@coral/testing';
import { CoreEndpoint, type CoreEndpointOptions } from './core-endpoint.js';
import { KernelSide } from './kernel-side.js';
import { NetworkNamespace } from './network-namespace.js';
import { WireGuardGo } from './wireguard-go.js';

export type Family = 'v4' | 'v6';

/** The kernel's inner addresses. */
export const kernelInner = { v4: '10.78.0.1', v6: 'fd78::1' } as const;

export interface JoinOptions extends Pick<CoreEndpointOptions, 'mtu' | 'limits' | 'tcp'> {
  /** The family of the outer addresses. */
  outer?: Family;
  /** Between the two, in both directions; without it they are joined by the cable alone. */
  impairments?: Partial<Impairments>;
  seed?: number | string;
  /** Without an inner IPv6 address: for an MTU below 1,280. */
  isIpv4Only?: boolean;
}

/** One of our endpoints, and what is between it and the kernel. */
export interface Joined {
  ours: CoreEndpoint;
  inner: Record<Family, string>;
  proxy: ImpairmentProxy | undefined;
  /** Closes both. */
  [Symbol.dispose](): void;
}

/** A kernel behind wireguard-go in a namespace, to which endpoints of ours are joined, one or more in each test. */
export class KernelStage {
  readonly namespace: NetworkNamespace;
  readonly kernel: KernelSide;
  readonly foreign: WireGuardGo;
  readonly publicKey: Buffer;
  #joined = 0;

  /** With another wireguard-go than Debian's when its `binary` is given. */
  static async start(binary?: string): Promise<KernelStage> {
    const namespace = await NetworkNamespace.create();
    const privateKey = randomBytes(32);
    const addresses = [`${kernelInner.v4}/16`, `${kernelInner.v6}/64`];
    // Of which the smallest of ours takes part: the MSS is the smaller of both sides'.
    const foreign = await WireGuardGo.start(namespace, {
      privateKey,
      addresses,
      mtu: 1_420,
      ...(binary === undefined ? {} : { binary }),
    });
    const publicKey = await namespace.run('wg', ['pubkey'], { input: privateKey.toString('base64') });
    return new KernelStage(namespace, foreign, Buffer.from(publicKey, 'base64'));
  }

  private constructor(namespace: NetworkNamespace, foreign: WireGuardGo, publicKey: Buffer) {
    this.namespace = namespace;
    this.foreign = foreign;
    this.kernel = new KernelSide(namespace);
    this.publicKey = publicKey;
  }

  /** A new endpoint with keys and addresses of its own; the handshake is made by the first packet or by `shakeHands`. */
  async join(options: JoinOptions = {}): Promise<Joined> {
    const n = (this.#joined += 1) + 1;
    const outer = options.outer ?? 'v4';
    const inner = { v4: `10.78.${n >> 8}.${n & 255}`, v6: `fd78::${n.toString(16)}` };
    const { impairments, seed = n, isIpv4Only = false, ...rest } = options;
    const target = { host: this.namespace.there[outer], port: this.foreign.port };
    const loopback = outer === 'v4' ? '127.0.0.1' : '::1';
    const proxy = impairments && (await ImpairmentProxy.start({ target, host: loopback, seed, impairments }));
    const ours = await CoreEndpoint.open({
      ...rest,
      host: proxy ? loopback : this.namespace.here[outer],
      addresses: isIpv4Only ? [inner.v4] : [inner.v4, inner.v6],
    });
    const presharedKey = randomBytes(32);
    await this.foreign.setPeer({
      publicKey: ours.device.publicKey,
      presharedKey,
      allowedIps: [`${inner.v4}/32`, `${inner.v6}/128`],
    });
    ours.addPeer({
      publicKey: this.publicKey,
      presharedKey,
      allowedIps: [`${kernelInner.v4}/32`, `${kernelInner.v6}/128`],
      endpoint: { carrier: 'udp', address: proxy?.host ?? target.host, port: proxy?.port ?? target.port },
    });
    return {
      ours,
      inner,
      proxy,
      [Symbol.dispose]: () => {
        ours.close();
        proxy?.close();
      },
    };
  }

  async stop(): Promise<void> {
    this.kernel.close();
    await this.namespace.remove();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
