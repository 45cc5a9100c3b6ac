import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { NetworkNamespace } from './network-namespace.js';

export interface ForeignPeer {
  publicKey: Uint8Array;
  presharedKey?: Uint8Array;
  allowedIps: readonly string[];
  endpoint?: { host: string; port: number };
  persistentKeepaliveSeconds?: number;
}

/** What `wg show` knows of a peer. */
export interface ForeignPeerState {
  publicKey: string;
  endpoint: string | undefined;
  /** Seconds since the Unix epoch; 0: never. */
  latestHandshake: number;
  receivedBytes: number;
  sentBytes: number;
}

export interface WireGuardGoOptions {
  privateKey: Uint8Array;
  /** Inner addresses with their prefix lengths, `10.77.0.1/24`; the kernel routes the prefixes into the tunnel. */
  addresses: readonly string[];
  mtu?: number;
  /** Another wireguard-go than Debian's. */
  binary?: string;
  interfaceName?: string;
}

const base64 = (key: Uint8Array): string => Buffer.from(key).toString('base64');

/** The foreign peer: wireguard-go in a namespace, with the kernel's TCP, UDP and ICMP behind its interface. */
export class WireGuardGo {
  readonly namespace: NetworkNamespace;
  readonly name: string;
  /** Its log so far, for a failing test to show. */
  readonly log: string[] = [];
  #port = 0;
  #process: ChildProcess | undefined;

  static async start(namespace: NetworkNamespace, options: WireGuardGoOptions): Promise<WireGuardGo> {
    const foreign = new WireGuardGo(namespace, options.interfaceName ?? 'wg0');
    await foreign.#start(options);
    return foreign;
  }

  private constructor(namespace: NetworkNamespace, name: string) {
    this.namespace = namespace;
    this.name = name;
  }

  /** The UDP port it listens on, at any address of its namespace. */
  get port(): number {
    return this.#port;
  }

  /** Adds a peer or changes the one with this key, and routes its allowed IPs into the tunnel. */
  async setPeer(peer: ForeignPeer): Promise<void> {
    const args = ['set', this.name, 'peer', base64(peer.publicKey), 'allowed-ips', peer.allowedIps.join(',')];
    if (peer.presharedKey) args.push('preshared-key', '/dev/stdin');
    if (peer.endpoint) {
      const { host, port } = peer.endpoint;
      args.push('endpoint', host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);
    }
    if (peer.persistentKeepaliveSeconds !== undefined)
      args.push('persistent-keepalive', String(peer.persistentKeepaliveSeconds));
    await this.#wg(args, peer.presharedKey ? `${base64(peer.presharedKey)}\n` : undefined);
    for (const prefix of peer.allowedIps)
      await this.namespace.ip(prefix.includes(':') ? '-6' : '-4', 'route', 'replace', prefix, 'dev', this.name);
  }

  async removePeer(publicKey: Uint8Array): Promise<void> {
    await this.#wg(['set', this.name, 'peer', base64(publicKey), 'remove']);
  }

  async peers(): Promise<ForeignPeerState[]> {
    const [, ...lines] = (await this.#wg(['show', this.name, 'dump'])).trim().split('\n');
    return lines.map((line) => {
      const [publicKey = '', , endpoint, , latestHandshake, receivedBytes, sentBytes] = line.split('\t');
      return {
        publicKey,
        endpoint: endpoint === '(none)' ? undefined : endpoint,
        latestHandshake: Number(latestHandshake),
        receivedBytes: Number(receivedBytes),
        sentBytes: Number(sentBytes),
      };
    });
  }

  /** Ends it and its interface; the namespace stays. */
  async stop(): Promise<void> {
    const running = this.#process;
    if (!running || running.exitCode !== null || running.signalCode !== null) return;
    const gone = once(running, 'close');
    running.kill('SIGTERM');
    await gone;
  }

  async #start(options: WireGuardGoOptions): Promise<void> {
    const child = this.namespace.spawn(options.binary ?? 'wireguard-go', ['--foreground', this.name], {
      LOG_LEVEL: 'verbose',
      // Else it refuses where the kernel has the module: here wireguard-go is the subject.
      WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD: '1',
    });
    this.#process = child;
    await new Promise<void>((resolve, reject) => {
      for (const stream of [child.stdout, child.stderr])
        createInterface({ input: stream }).on('line', (line) => {
          if (this.log.length < 5_000) this.log.push(line);
          if (line.includes('UAPI listener started')) resolve();
        });
      child.once('close', () => reject(new Error(`wireguard-go did not start: ${this.log.join('\n')}`)));
    });
    await this.#wg(
      ['set', this.name, 'private-key', '/dev/stdin', 'listen-port', '0'],
      `${base64(options.privateKey)}\n`,
    );
    for (const address of options.addresses) {
      const flags = address.includes(':') ? ['nodad'] : [];
      await this.namespace.ip('addr', 'add', address, 'dev', this.name, ...flags);
    }
    await this.namespace.ip('link', 'set', this.name, 'mtu', String(options.mtu ?? 1_420), 'up');
    this.#port = Number(await this.#wg(['show', this.name, 'listen-port']));
  }

  #wg(args: string[], input?: string): Promise<string> {
    if (input === undefined) return this.namespace.run('wg', args);
    // Node's pipes are sockets, which wg cannot open as /dev/stdin; cat makes a pipe of it.
    return this.namespace.run('sh', ['-c', 'cat | wg "$@"', 'wg', ...args], { input });
  }
}
