import type { Duplex } from 'node:stream';
import type { KeyId } from '@coral/model';

/** A stream through the mesh. Behaves as a net.Socket towards gRPC and HTTP; `peer` is proven, not claimed. */
export interface MeshSocket extends Duplex {
  /** The key at the far end of the tunnel: the peer's own, or that of the hub which forwarded (`forwarded`). */
  readonly peer: KeyId;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** True when `remoteAddress` is not one of the peer's own: a hub vouches for whoever is behind it. */
  readonly forwarded?: boolean;
}

/** Who may be on the mesh: its key, its addresses there, and until when. Checked on every packet or connection. */
export interface Peer {
  keyId: KeyId;
  /** WireGuard public key, 32 bytes. */
  publicKey: Uint8Array;
  /** Addresses inside the mesh that belong to this peer. */
  addresses: string[];
  /** Wall clock ms after which the peer is gone; absent for permanent ones. */
  expiresAt?: number;
  /** Driver `direct` only. */
  direct?: {
    certificateSha256: Uint8Array;
    /** Where its end listens, when it accepts connections. */ endpoint?: string;
  };
  /** Drivers `userspace` and `system`. */
  wireguard?: WireGuardPeer;
}

export interface WireGuardPeer {
  /**
   * Where to find it first, by IP address or DNS name; absent: it comes to us. From there it may roam. Names are looked up
   * when the peer is added and again while it does not answer.
   */
  endpoint?: { host: string; port: number };
  /** What it may send from and what is sent to it, as CIDR; absent: its addresses alone. A hub's are the mesh's ranges. */
  allowedIps?: string[];
  /** 0 or absent: off. */
  persistentKeepaliveSeconds?: number;
  /** 32 bytes. */
  presharedKey?: Uint8Array;
}

export interface MeshListener {
  readonly port: number;
  close(): Promise<void>;
}

export interface ListenOptions {
  /** Also takes streams that a hub forwarded; without it they are refused, for `peer` would name the hub, not the caller. */
  forwarded?: boolean;
}

/** One endpoint of the mesh. The rest of Coral knows the mesh by this interface only. */
export interface Mesh extends AsyncDisposable {
  readonly keyId: KeyId;
  readonly driver: 'direct' | 'userspace' | 'system';
  /** Opens a stream to a mesh address. Errors: `unavailable` (refused, unknown peer, gone), `deadline_exceeded`, `cancelled`. */
  dial(address: string, port: number, options?: { signal?: AbortSignal; timeoutMs?: number }): Promise<MeshSocket>;
  /** Accepts streams from peers that are known and not expired. Others never reach `onConnection`. */
  listen(port: number, onConnection: (socket: MeshSocket) => void, options?: ListenOptions): Promise<MeshListener>;
  addPeer(peer: Peer): void;
  /** The peer is gone and its streams are cut before this returns. */
  removePeer(keyId: KeyId): void;
  close(): Promise<void>;
}
