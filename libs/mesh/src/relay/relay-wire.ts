// The WebSocket carrier on the wire. Read first: RFC 6455 (WebSocket), RFC 9112 §9.6 and RFC 8441 for what an upgrade is.
// One binary message is one WireGuard datagram. Nothing here is secret or trusted: WireGuard authenticates what it carries.

export const relayPath = '/v1/mesh/relay';
export const relayProtocol = 'coral-wg.v1';

/** The smallest WireGuard message is a keepalive: 16 bytes of header, 16 of tag. */
export const minDatagramBytes = 32;
/** An Ethernet frame's worth: what UDP would carry at most. */
export const maxDatagramBytes = 1_500;
/** What is read of one message before it is refused; room to tell 1,501 bytes from garbage. */
export const maxMessageBytes = 2_048;
/** A datagram comes in one frame; a proxy on the way may cut it, but not to crumbs. */
export const maxMessageFragments = 8;
/** Pieces of an unfinished message kept at a time: a sender of single bytes ends here. */
export const maxMessagePieces = 4_096;

/** Why this end closes a connection, as its close code (RFC 6455 §7.4; 4000–4999 are ours). The word is the close reason. */
export const closeCodes = {
  going_away: 1001,
  text_message: 1003,
  datagram_too_small: 1008,
  control_flood: 1008,
  datagram_too_large: 1009,
  /** No authenticated packet came over it in time. */
  never_bound: 4001,
  /** The time of its peer is over. */
  peer_gone: 4002,
  /** Younger connections needed its place. */
  crowded_out: 4003,
} as const;

export type CloseReason = keyof typeof closeCodes;

/** Whether a message may be a WireGuard datagram, by its size alone. */
export function isDatagramSize(bytes: number): boolean {
  return bytes >= minDatagramBytes && bytes <= maxDatagramBytes;
}
