import type { Duplex } from 'node:stream';
import type { KeyId } from '@coral/model';

/** A stream through the mesh. Behaves as a net.Socket towards gRPC and HTTP; `peer` is proven, not claimed. */
export interface MeshSocket extends Duplex {
  readonly peer: KeyId;
  readonly remoteAddress: string;
  readonly remotePort: number;
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
}

export interface MeshListener {
  readonly port: number;
  close(): Promise<void>;
}

/** One endpoint of the mesh. The rest of Coral knows the mesh by this interface only. */
export interface Mesh extends AsyncDisposable {
  readonly keyId: KeyId;
  readonly driver: 'direct' | 'userspace' | 'system';
  /** Opens a stream to a mesh address. Errors: `unavailable` (refused, unknown peer, gone), `deadline_exceeded`, `cancelled`. */
  dial(address: string, port: number, options?: { signal?: AbortSignal; timeoutMs?: number }): Promise<MeshSocket>;
  /** Accepts streams from peers that are known and not expired. Others never reach `onConnection`. */
  listen(port: number, onConnection: (socket: MeshSocket) => void): Promise<MeshListener>;
  addPeer(peer: Peer): void;
  /** The peer is gone and its streams are cut before this returns. */
  removePeer(keyId: KeyId): void;
  close(): Promise<void>;
}
