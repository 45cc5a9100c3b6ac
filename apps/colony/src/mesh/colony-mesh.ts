import { keyIdOf } from '@coral/model';
import type { Clock, KeyId } from '@coral/model';
import { openDirectMesh, openUserspaceMesh } from '@coral/mesh';
import type { DirectMesh, DirectMeshOptions, Mesh, MeshEvent, Peer, UserspaceMesh } from '@coral/mesh';
import { checkMeshSettings, wireguardConfigText } from '@coral/rpc';
import type { colonyV1 } from '@coral/rpc';
import { isAnyAddress } from '../colony.config.js';
import { colonyHost } from './address-plan.js';
import type { AddressPlan } from './address-plan.js';
import { openDirectCertificate, openMeshKeyPair } from './colony-keys.js';
import type { MeshKeyPair } from './colony-keys.js';
import type { MemberPlaces } from './member-places.js';

/** Fits every path we know, the relay over TCP included (RFC 8200: 1280 is what IPv6 guarantees). */
const meshMtu = 1_280;
/** Below the 30 s after which many NATs forget a UDP flow. */
const keepaliveSeconds = 25;
/** Stands for a host that nobody could name (RFC 2606). */
const nowhere = 'colony.invalid:1';

export interface ColonyMeshOptions {
  driver: 'userspace' | 'direct';
  keysDirectory: string;
  plan: AddressPlan;
  /** UDP; with the driver `direct` TCP, on loopback only. Port 0 takes a free one. */
  listen: { host: string; port: number };
  /** What members are told instead of `listen`. A colony that listens on every address cannot know its own name. */
  endpoint?: { host: string; port: number } | undefined;
  production: boolean;
  clock: Clock;
  onRefused: NonNullable<DirectMeshOptions['onRefused']>;
  onEvent(event: MeshEvent): void;
  /** Where a member was last; a restarted colony calls it there instead of waiting for it. */
  places?: MemberPlaces;
}

/** A lease or a permanent agent, as the mesh sees it. */
export interface Member {
  keyId: KeyId;
  publicKey: Uint8Array;
  host: number;
  /** Wall clock ms; absent for permanent ones. */
  expiresAt?: number;
  directCertificateSha256: Uint8Array | undefined;
  /** Where its end listens, for members that are called; driver `direct` only. */
  directEndpoint?: string | undefined;
}

/** What differs between the drivers. */
interface Driver {
  mesh: Mesh;
  /** The port it listens on, chosen by the system when the configuration said port 0. */
  port: number;
  /** Undefined: this member cannot come in. */
  peerOf(member: Member): Pick<Peer, 'direct' | 'wireguard'> | undefined;
  settings: Pick<colonyV1.MeshSettings, 'direct' | 'endpoint' | 'mtu' | 'persistentKeepaliveSeconds' | 'routes'>;
  userspace?: UserspaceMesh;
}

/** The colony's end of the mesh, and what it tells members about it. */
export class ColonyMesh implements AsyncDisposable {
  readonly mesh: Mesh;
  readonly plan: AddressPlan;
  private readonly publicKey: Uint8Array;
  private readonly driver: Driver;
  private readonly places: MemberPlaces | undefined;

  private constructor(driver: Driver, publicKey: Uint8Array, { plan, places }: ColonyMeshOptions) {
    this.mesh = driver.mesh;
    this.driver = driver;
    this.publicKey = publicKey;
    this.plan = plan;
    this.places = places;
  }

  static async open(options: ColonyMeshOptions): Promise<ColonyMesh> {
    const keyPair = await openMeshKeyPair(options.keysDirectory);
    const driver = await (options.driver === 'direct' ? openDirect(options, keyPair) : openUserspace(options, keyPair));
    return new ColonyMesh(driver, keyPair.publicKey, options);
  }

  /** True when members need a certificate besides their key. */
  get wantsCertificate(): boolean {
    return this.mesh.driver === 'direct';
  }

  get port(): number {
    return this.driver.port;
  }

  /** Absent with the driver `direct`, which has neither peers that roam nor a relay. */
  get userspace(): UserspaceMesh | undefined {
    return this.driver.userspace;
  }

  isOwnKey(publicKey: Uint8Array): boolean {
    return keyIdOf(publicKey) === this.mesh.keyId;
  }

  /** From here on its packets are accepted. A member without a certificate cannot come in over `direct`: a no-op. */
  add(member: Member): void {
    const reached = this.driver.peerOf(member);
    if (reached === undefined) return;
    const { v4, v6 } = this.plan.addressesOf(member.host);
    this.mesh.addPeer({
      keyId: member.keyId,
      publicKey: member.publicKey,
      addresses: [v4, v6],
      ...(member.expiresAt === undefined ? {} : { expiresAt: member.expiresAt }),
      ...reached,
    });
  }

  /** Its streams are cut before this returns. */
  remove(keyId: KeyId): void {
    this.mesh.removePeer(keyId);
    this.places?.forget(keyId);
  }

  settingsFor(host: number): colonyV1.MeshSettings {
    const own = this.plan.addressesOf(host);
    const colony = this.plan.addressesOf(colonyHost);
    return {
      colonyPublicKey: Buffer.from(this.publicKey),
      addressV4: own.v4,
      addressV6: own.v6,
      colonyAddressV4: colony.v4,
      colonyAddressV6: colony.v6,
      ...this.driver.settings,
    };
  }

  /**
   * `privateKey` only when the colony made it; `reachedAs` is host:port by which the client came. With the driver `direct`,
   * which no stock client speaks, it is there for its form.
   */
  wireguardConfigFor(host: number, privateKey: Uint8Array | undefined, reachedAs: string): string {
    const known = /^(\[[0-9A-Fa-f:.]+\]|[\w.-]+):\d{1,5}$/.test(reachedAs) ? reachedAs : nowhere;
    return wireguardConfigText(checkMeshSettings(this.settingsFor(host), known), privateKey);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.mesh.close();
  }
}

async function openDirect(options: ColonyMeshOptions, keyPair: MeshKeyPair): Promise<Driver> {
  const certificate = await openDirectCertificate(options.keysDirectory);
  const mesh: DirectMesh = await openDirectMesh({ ...options, keyPair, certificate });
  const endpoint = mesh.endpoint ?? '';
  return {
    mesh,
    port: Number(endpoint.slice(endpoint.lastIndexOf(':') + 1)),
    peerOf: ({ directCertificateSha256: certificateSha256, directEndpoint }) => {
      if (certificateSha256 === undefined) return undefined;
      return {
        direct: { certificateSha256, ...(directEndpoint === undefined ? {} : { endpoint: directEndpoint }) },
      };
    },
    settings: {
      endpoint,
      direct: { endpoint, certificateSha256: certificate.sha256 },
      mtu: 0,
      persistentKeepaliveSeconds: 0,
      routes: [],
    },
  };
}

async function openUserspace(options: ColonyMeshOptions, keyPair: MeshKeyPair): Promise<Driver> {
  const { v4, v6 } = options.plan.addressesOf(colonyHost);
  const mesh = await openUserspaceMesh({
    keyPair,
    addresses: [v4, v6],
    mtu: meshMtu,
    udp: options.listen,
    clock: options.clock,
    hub: true,
    onEvent: options.onEvent,
  });
  return {
    mesh,
    userspace: mesh,
    port: mesh.udpPort,
    peerOf: ({ keyId }) => {
      const endpoint = options.places?.of(keyId);
      return { wireguard: endpoint === undefined ? {} : { endpoint } };
    },
    settings: {
      endpoint: announced(options, mesh.udpPort),
      direct: undefined,
      mtu: meshMtu,
      persistentKeepaliveSeconds: keepaliveSeconds,
      routes: [options.plan.rangeV4, options.plan.rangeV6],
    },
  };
}

/** host:port for members; without a host where only they know by which name they reached the colony. */
function announced({ endpoint, listen }: ColonyMeshOptions, port: number): string {
  if (endpoint !== undefined) return hostPort(endpoint.host, endpoint.port === 0 ? port : endpoint.port);
  return isAnyAddress(listen.host) ? `:${port}` : hostPort(listen.host, port);
}

function hostPort(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
