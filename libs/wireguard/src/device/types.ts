import type { Clock } from '@coral/model';
import type { Endpoint } from '../cookie/index.js';
import type { RandomBytes } from '../noise/index.js';
import type { DevicePeer } from './peer.js';
import type { DeviceLimits } from './limits.js';

/** The effects of a device. All are called synchronously from within a call to the device. */
export interface DeviceOutput {
  /** A datagram to put on the wire; the buffer is given away. */
  send(datagram: Buffer, to: Endpoint): void;
  /**
   * An inner IP packet: authenticated, not replayed, its source inside the peer's allowed IPs, trimmed to its own length;
   * the buffer is given away.
   */
  receive(packet: Buffer, peer: DevicePeer): void;
  event(event: DeviceEvent): void;
}

/** Rare, at most a few per peer and minute. */
export type DeviceEvent =
  /** A session is ready for data in both directions. `initiator`: this end asked for it. */
  | { readonly kind: 'handshake'; readonly peer: DevicePeer; readonly initiator: boolean }
  /** The peer proved itself from another endpoint; packets go there from now on. */
  | { readonly kind: 'roamed'; readonly peer: DevicePeer; readonly from: Endpoint | undefined; readonly to: Endpoint }
  /** No answer within REKEY_ATTEMPT_TIME; what waited for a session was dropped. Sending again starts anew. */
  | { readonly kind: 'gave_up'; readonly peer: DevicePeer; readonly droppedPackets: number }
  /** The peer's lease is over: its keys are wiped, it stays refused until it is removed or added again. */
  | { readonly kind: 'expired'; readonly peer: DevicePeer }
  | { readonly kind: 'removed'; readonly peer: DevicePeer }
  /**
   * Two machines seem to hold this private key: handshakes come in turns from two endpoints, or from two clocks. The
   * protocol lets the later one win each time, so both keep losing their session.
   */
  | { readonly kind: 'key_shared'; readonly peer: DevicePeer; readonly endpoints: readonly [Endpoint, Endpoint] }
  | RefusedEvent;

/**
 * Somebody asked for a session who may have none. At most one a second; `more` were refused since the last one. The key of
 * `unknown_peer` is a claim: whoever knows this end's public key can make it.
 */
export interface RefusedEvent {
  readonly kind: 'refused';
  readonly publicKey: Buffer;
  readonly endpoint: Endpoint;
  readonly reason: 'unknown_peer' | 'peer_expired';
  readonly more: number;
}

export interface DeviceOptions {
  /** 32 bytes; copied into a KeyObject, the caller may zero its copy. */
  readonly privateKey: Uint8Array;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly output: DeviceOutput;
  readonly limits?: Partial<DeviceLimits>;
}

export interface PeerOptions {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 32 bytes. Absent on an update: stays as it is. */
  readonly presharedKey?: Uint8Array | undefined;
  /** CIDR or plain addresses, IPv4 and IPv6: what the peer may send from, and what is sent to it. */
  readonly allowedIps: readonly string[];
  /** Absent: unknown until the peer speaks first; on an update: stays as it is. */
  readonly endpoint?: Endpoint | undefined;
  /** 0 or absent: off. */
  readonly persistentKeepaliveSeconds?: number | undefined;
  /** Wall clock, ms since the Unix epoch; absent for permanent peers. */
  readonly expiresAt?: number | undefined;
}

/**
 * What became of a packet given to `sendPacket`. `queued`: waits for a handshake that now runs. `no_route`: no peer has
 * the destination in its allowed IPs, or it is no IP packet. `no_endpoint`: where the peer is, is not known yet.
 */
export type SendResult = 'sent' | 'queued' | 'no_route' | 'no_endpoint' | 'too_large' | 'expired';
