// What the driver `userspace` offers beyond `Mesh`.
import type { CoralError } from '@coral/errors';
import type { Clock, KeyId } from '@coral/model';
import type { DeniedForward, ForwardingRule, HubCounters } from '../hub/forwarding.types.js';
import type { Mesh } from '../mesh.js';

/** Fits every path we know, the relay over TCP included (RFC 8200: 1280 is what IPv6 guarantees). */
export const defaultMeshMtu = 1_280;

export interface UserspaceMeshOptions {
  /** X25519, 32 bytes each. The private key is copied; the caller may zero its own. */
  keyPair: { publicKey: Uint8Array; privateKey: Uint8Array };
  /** This end's own addresses inside the mesh. */
  addresses: readonly string[];
  /** Bytes of the largest inner packet, 1280 (default) to 1420. */
  mtu?: number;
  /** Where datagrams come in; absent or 'ephemeral': a free port of every address. Port 0 takes a free one. */
  udp?: { host: string; port: number } | 'ephemeral';
  clock: Clock;
  /** Forwards between peers what {@link UserspaceMesh.allowForwarding} lets through; absent: nothing is forwarded. */
  hub?: boolean;
  /** Rare: at most a few per peer and minute. */
  onEvent?(event: MeshEvent): void;
}

/** One end of the mesh in user space: no root, no interface, one worker thread. */
export interface UserspaceMesh extends Mesh {
  readonly driver: 'userspace';
  /** The UDP port in use. */
  readonly udpPort: number;
  /** Rejects never; resolves with `mesh_worker_lost` should the worker thread die. The mesh is of no use after that. */
  readonly lost: Promise<CoralError>;
  /** What this peer may reach through the hub; replaces what it might before. Ends with the peer. Throws without `hub`. */
  allowForwarding(source: KeyId, rules: readonly ForwardingRule[]): void;
  /** Round trip of an ICMP echo, ms. Errors as of `dial`. */
  ping(address: string, options?: { timeoutMs?: number; signal?: AbortSignal }): Promise<number>;
  counters(): Promise<MeshCounters>;
  peers(): Promise<PeerStatus[]>;
  /** The colony's side of the WebSocket carrier: its HTTPS door hands datagrams in and carries them out. */
  readonly relay: MeshRelay;
}

/** Datagrams of WebSocket connections that another part of the process holds. Ids are 16 random bytes as hex. */
export interface MeshRelay {
  opened(id: string, remoteAddress: string): void;
  /** The buffers stay the caller's. */
  datagrams(id: string, datagrams: readonly Uint8Array[]): void;
  closed(id: string): void;
  /** Datagrams to put on the connection. One listener of each kind; a later one replaces the former. */
  onSend(listener: (id: string, datagrams: Uint8Array[]) => void): void;
  /** An authenticated packet of this peer came over the connection. */
  onBind(listener: (id: string, peer: KeyId) => void): void;
  /** The connection's peer is gone: close it. */
  onCut(listener: (id: string) => void): void;
}

export interface PeerStatus {
  keyId: KeyId;
  /** `203.0.113.7:41820`, `[2001:db8::7]:41820`, `ws:<id>`; undefined while unknown. */
  endpoint: string | undefined;
  carrier: 'udp' | 'ws' | undefined;
  /** Wall clock ms; undefined: never. */
  lastHandshakeAt: number | undefined;
  rxBytes: number;
  txBytes: number;
  streams: number;
}

export interface MeshCounters {
  /** WireGuard: datagrams, handshakes, drops by reason. Names as of libs/wireguard. */
  wireguard: Record<string, number>;
  /** TCP/IP: packets, connections, drops by reason. Names as of libs/tcp. */
  tcp: Record<string, number>;
  hub: HubCounters;
  worker: {
    turns: number;
    /** Longest turn since the last question, ms. */
    longestTurnMs: number;
    streams: number;
    peers: number;
    /** Datagrams that did not go out, because the system's or a relay's queue was full. */
    sendDropped: number;
    sendErrors: number;
    heapUsedBytes: number;
    externalBytes: number;
  };
}

export type MeshEvent =
  | { kind: 'handshake'; peer: KeyId; endpoint: string | undefined }
  | { kind: 'roamed'; peer: KeyId; from: string | undefined; to: string }
  | { kind: 'gave_up'; peer: KeyId }
  | { kind: 'key_shared'; peer: KeyId; endpoints: readonly [string, string] }
  /** The worker would not take the peer (a key of low order, say); it has been cut. */
  | { kind: 'peer_refused'; peer: KeyId; problem: string }
  | { kind: 'endpoint_unresolved'; peer: KeyId; host: string; problem: string }
  /** The hub did not forward; one event a second per (peer, destination, port), with how many packets that were. */
  | ({ kind: 'forward_denied'; peer: KeyId } & Omit<DeniedForward, 'slot'>)
  /**
   * Somebody asked for a session who may have none. At most one event a second; `more` were refused since the last. The key
   * is a claim when it is of nobody here.
   */
  | { kind: 'refused'; peer: KeyId; endpoint: string; reason: 'unknown_peer' | 'peer_expired'; more: number };
