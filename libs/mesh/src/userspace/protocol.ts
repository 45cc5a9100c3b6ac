// What the main thread and the worker of a mesh say to each other. Each posts arrays of messages, in order; bytes travel in
// ArrayBuffers of their own, which are transferred. Streams are known by id: even ones were dialled, odd ones accepted.
import type { DeniedForward, ForwardingRule } from '../hub/forwarding.types.js';
import type { MeshCounters } from './userspace-mesh.types.js';

/** Bytes of one `bytes` message at most. */
export const chunkBytes = 65_536;
/** How much a socket may hand to the worker beyond what TCP has sent once. */
export const sendWindowBytes = 524_288;
/** How much the worker may hand to a socket that nobody reads. */
export const receiveWindowBytes = 262_144;

export interface OpenMessage {
  type: 'open';
  /** The worker wipes it. */
  privateKey: Uint8Array;
  addresses: readonly string[];
  mtu: number;
  udp: { host: string; port: number } | undefined;
  hub: boolean;
  slots: SharedArrayBuffer;
  clock: SharedArrayBuffer | undefined;
}

export interface PeerMessage {
  type: 'peer';
  slot: number;
  publicKey: Uint8Array;
  presharedKey: Uint8Array | undefined;
  addresses: readonly string[];
  /** Absent: its addresses alone. */
  allowedIps: readonly string[] | undefined;
  endpoint: { host: string; port: number } | undefined;
  keepaliveSeconds: number;
  /** Wall clock ms by the worker's clock; Infinity for permanent peers. */
  expiresAt: number;
}

export type ToWorker =
  | OpenMessage
  | PeerMessage
  | { type: 'remove_peer'; slot: number }
  | { type: 'forwarding'; slot: number; rules: readonly ForwardingRule[] }
  | { type: 'listen'; call: number; port: number; forwarded: boolean }
  | { type: 'unlisten'; call: number; port: number }
  | { type: 'dial'; id: number; slot: number; address: string; port: number }
  /** A dial whose time is over: answered with `dial_failed`. */
  | { type: 'give_up'; id: number }
  | { type: 'bytes'; id: number; bytes: Uint8Array }
  /** So many bytes have left the socket's buffer. */
  | { type: 'credit'; id: number; bytes: number }
  /** FIN after what was written. */
  | { type: 'end'; id: number }
  /** RST; the main thread has forgotten the stream. */
  | { type: 'reset'; id: number }
  /** The main thread reads no more; what was written, and its FIN, still go out. */
  | { type: 'release'; id: number }
  | { type: 'ping'; call: number; address: string; timeoutMs: number }
  | { type: 'status'; call: number }
  | { type: 'relay_opened'; id: string; remoteAddress: string }
  | { type: 'relay_datagrams'; id: string; datagrams: Uint8Array[] }
  | { type: 'relay_closed'; id: string }
  | { type: 'close' };

/** Why a dial came to nothing. `silent`: nothing at all was heard of the peer since; `slow`: something was. */
export type DialFailure =
  | 'refused'
  | 'reset'
  | 'unreachable'
  | 'no_route'
  | 'no_ports'
  | 'silent'
  | 'slow'
  | 'peer_gone';

export interface WorkerPeerStatus {
  slot: number;
  carrier: 'udp' | 'ws' | undefined;
  endpoint: string | undefined;
  lastHandshakeAt: number | undefined;
  rxBytes: number;
  txBytes: number;
  streams: number;
}

export type FromWorker =
  | { type: 'ready'; udpPort: number }
  | { type: 'failed'; code: string; problem: string; host: string; port: number }
  /** The worker has let go of the slot. */
  | { type: 'slot_free'; slot: number }
  | { type: 'peer_ended'; slot: number; problem: string }
  | { type: 'peer_refused'; slot: number; problem: string }
  | { type: 'dialled'; id: number }
  | { type: 'dial_failed'; id: number; failure: DialFailure; problem: string }
  | {
      type: 'accepted';
      id: number;
      slot: number;
      port: number;
      remoteAddress: string;
      remotePort: number;
      forwarded: boolean;
    }
  | { type: 'bytes'; id: number; bytes: Uint8Array }
  | { type: 'credit'; id: number; bytes: number }
  /** FIN: everything the far end had to say has been handed over. */
  | { type: 'ended'; id: number }
  /** The connection is over; `problem` when it was not by both ends' FIN. */
  | { type: 'closed'; id: number; problem: string | undefined }
  | { type: 'answer'; call: number; result: CallResult }
  | { type: 'event'; event: WorkerEvent }
  | { type: 'relay_send'; id: string; datagrams: Uint8Array[] }
  | { type: 'relay_bound'; id: string; slot: number }
  | { type: 'relay_cut'; id: string };

export type CallResult =
  | { ok: true; status?: WorkerStatus; pingMs?: number | undefined }
  | { ok: false; problem: string };

export interface WorkerStatus {
  counters: MeshCounters;
  peers: WorkerPeerStatus[];
}

export type WorkerEvent =
  | { kind: 'handshake'; slot: number; endpoint: string | undefined }
  | { kind: 'roamed'; slot: number; from: string | undefined; to: string }
  | { kind: 'gave_up'; slot: number }
  | { kind: 'key_shared'; slot: number; endpoints: readonly [string, string] }
  | { kind: 'endpoint_unresolved'; slot: number; host: string; problem: string }
  | ({ kind: 'forward_denied' } & DeniedForward)
  | {
      kind: 'refused';
      publicKey: Uint8Array;
      endpoint: string;
      reason: 'unknown_peer' | 'peer_expired';
      more: number;
    };

/** What a thread has to say, posted as one array: `flush` once per turn, or at once where it must not wait. */
export class Outbox<Message extends { type: string }> {
  readonly #post: (messages: Message[], transfer: ArrayBuffer[]) => void;
  #messages: Message[] = [];
  #transfer: ArrayBuffer[] = [];

  constructor(post: (messages: Message[], transfer: ArrayBuffer[]) => void) {
    this.#post = post;
  }

  get isEmpty(): boolean {
    return this.#messages.length === 0;
  }

  /** Bytes handed over must own their whole ArrayBuffer: see {@link ownBytes}. */
  add(message: Message, bytes?: Uint8Array): void {
    this.#messages.push(message);
    if (bytes) this.#transfer.push(bytes.buffer as ArrayBuffer);
  }

  flush(): void {
    if (this.#messages.length === 0) return;
    const messages = this.#messages;
    const transfer = this.#transfer;
    this.#messages = [];
    this.#transfer = [];
    this.#post(messages, transfer);
  }
}

/** Parts of a stream as one buffer that may be transferred: a pooled one would take its neighbours along. */
export function ownBytes(parts: readonly Uint8Array[], length: number): Uint8Array {
  const bytes = Buffer.allocUnsafeSlow(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
