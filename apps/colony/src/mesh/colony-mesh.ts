import { keyIdOf } from '@coral/model';
import type { Clock, KeyId } from '@coral/model';
import { openDirectMesh } from '@coral/mesh';
import type { DirectMeshOptions, Mesh } from '@coral/mesh';
import type { colonyV1 } from '@coral/rpc';
import { colonyHost } from './address-plan.js';
import type { AddressPlan } from './address-plan.js';
import { openDirectCertificate, openMeshKeyPair } from './colony-keys.js';
import { wireguardConfigText } from './wireguard-config.js';

export interface ColonyMeshOptions {
  keysDirectory: string;
  plan: AddressPlan;
  /** Mesh driver `direct`: loopback only, port 0 takes a free one. */
  listen: { host: string; port: number };
  production: boolean;
  clock: Clock;
  onRefused: NonNullable<DirectMeshOptions['onRefused']>;
}

/** A lease or a permanent agent, as the mesh sees it. */
export interface Member {
  keyId: KeyId;
  publicKey: Uint8Array;
  host: number;
  /** Wall clock ms; absent for permanent ones. */
  expiresAt?: number;
  directCertificateSha256: Uint8Array | undefined;
  /** Where its end listens, for members that are called. */
  directEndpoint?: string | undefined;
}

/** The colony's end of the mesh, and what it tells members about it. */
export class ColonyMesh implements AsyncDisposable {
  readonly mesh: Mesh;
  readonly plan: AddressPlan;
  private readonly publicKey: Uint8Array;
  private endpoint = '';
  private readonly direct: { endpoint: string; certificateSha256: Buffer };

  private constructor(mesh: Mesh, publicKey: Uint8Array, direct: ColonyMesh['direct'], options: ColonyMeshOptions) {
    this.mesh = mesh;
    this.publicKey = publicKey;
    this.direct = direct;
    this.plan = options.plan;
  }

  static async open(options: ColonyMeshOptions): Promise<ColonyMesh> {
    const keyPair = await openMeshKeyPair(options.keysDirectory);
    const certificate = await openDirectCertificate(options.keysDirectory);
    const mesh = await openDirectMesh({ ...options, keyPair, certificate });
    const direct = { endpoint: mesh.endpoint ?? '', certificateSha256: certificate.sha256 };
    return new ColonyMesh(mesh, keyPair.publicKey, direct, options);
  }

  /** True when members need a certificate besides their key. */
  get wantsCertificate(): boolean {
    return this.mesh.driver === 'direct';
  }

  /** The TCP port of the driver `direct`, chosen by the system when the configuration said port 0. */
  get port(): number {
    return Number(this.direct.endpoint.slice(this.direct.endpoint.lastIndexOf(':') + 1));
  }

  /** host:port (UDP) that members are told to find the colony at; known once the public port is. */
  announce(endpoint: string): void {
    this.endpoint = endpoint;
  }

  isOwnKey(publicKey: Uint8Array): boolean {
    return keyIdOf(publicKey) === this.mesh.keyId;
  }

  /** From here on its connections are accepted. A member without a certificate cannot come in over `direct`: a no-op. */
  add(member: Member): void {
    const certificateSha256 = member.directCertificateSha256;
    if (this.wantsCertificate && certificateSha256 === undefined) return;
    const { v4, v6 } = this.plan.addressesOf(member.host);
    this.mesh.addPeer({
      keyId: member.keyId,
      publicKey: member.publicKey,
      addresses: [v4, v6],
      ...(member.expiresAt === undefined ? {} : { expiresAt: member.expiresAt }),
      ...(certificateSha256 === undefined
        ? {}
        : {
            direct: {
              certificateSha256,
              ...(member.directEndpoint === undefined ? {} : { endpoint: member.directEndpoint }),
            },
          }),
    });
  }

  /** Its streams are cut before this returns. */
  remove(keyId: KeyId): void {
    this.mesh.removePeer(keyId);
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
      endpoint: this.endpoint,
      direct: this.wantsCertificate ? this.direct : undefined,
    };
  }

  /** `privateKey` only when the colony made it. */
  wireguardConfigFor(host: number, privateKey: Uint8Array | undefined): string {
    return wireguardConfigText({
      privateKey,
      addresses: this.plan.addressesOf(host),
      colony: { publicKey: this.publicKey, endpoint: this.endpoint },
      ranges: [this.plan.rangeV4, this.plan.rangeV6],
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.mesh.close();
  }
}
