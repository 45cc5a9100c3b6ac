/**
 * Numbers of the WireGuard protocol (whitepaper §5.4 messages, §6 timers; wireguard.com/protocol). None is a matter of
 * taste: the other end counts with the same ones.
 */

/** The first byte of a message; the three after it are zero. */
export const MESSAGE_INITIATION = 1;
export const MESSAGE_RESPONSE = 2;
export const MESSAGE_COOKIE_REPLY = 3;
export const MESSAGE_TRANSPORT = 4;

/** Exact lengths in bytes. Anything else of that type is refused unread. */
export const INITIATION_BYTES = 148;
export const RESPONSE_BYTES = 92;
export const COOKIE_REPLY_BYTES = 64;
/** Type, receiver index, counter. */
export const TRANSPORT_HEADER_BYTES = 16;
/** A keepalive: header and tag, nothing inside. */
export const TRANSPORT_MIN_BYTES = 32;

/** A key, a hash, a shared secret. */
export const KEY_BYTES = 32;
/** Poly1305 tag. */
export const TAG_BYTES = 16;
/** mac1, mac2 and the cookie. */
export const MAC_BYTES = 16;
export const TAI64N_BYTES = 12;
/** Transport payloads are padded to a multiple of this. */
export const PADDING_BYTES = 16;

/**
 * Full values are 2^60 and 2^64 - 2^13 - 1. A counter here is a JavaScript number, so both come earlier, which is
 * allowed.
 */
export const REKEY_AFTER_MESSAGES = 2 ** 48;
export const REJECT_AFTER_MESSAGES = 2 ** 53 - 2 ** 13 - 1;

export const REKEY_AFTER_TIME_MS = 120_000;
export const REJECT_AFTER_TIME_MS = 180_000;
export const REKEY_ATTEMPT_TIME_MS = 90_000;
export const REKEY_TIMEOUT_MS = 5_000;
/** Added to REKEY_TIMEOUT, random, so that two ends do not retry in step. */
export const REKEY_TIMEOUT_JITTER_MS = 334;
export const KEEPALIVE_TIMEOUT_MS = 10_000;
/** A cookie is good this long, at both ends. */
export const COOKIE_LIFETIME_MS = 120_000;
/**
 * Under load sticks this long after the last sign of it (whitepaper §5.3 leaves it open; wireguard-go takes one
 * second).
 */
export const UNDER_LOAD_MS = 1_000;
/** The least time between two initiations of one peer that get an answer. */
export const HANDSHAKE_INITIATION_INTERVAL_MS = 20;

/** Handshakes one source may cost us under load: a source is an IPv4 address, an IPv6 /64, a WebSocket connection. */
export const HANDSHAKES_PER_SECOND = 20;
export const HANDSHAKE_BURST = 5;
