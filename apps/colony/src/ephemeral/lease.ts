import type { AgentId, Duration, KeyId, UserId } from '@coral/model';
import { BadPurpose, BadTtl, TooManyLeases } from './lease.errors.js';

/** Longest `purpose` that lists and audit rows carry, in characters. */
export const maxPurposeLength = 200;

export interface LeaseRules {
  defaultTtl: Duration;
  maxTtl: Duration;
  maxConcurrentPerUser: number;
  /** Leases without a seat on the mesh, counted apart: an agent in the cloud takes no place from a laptop. */
  maxPublicPerUser: number;
}

/** A place on the mesh. */
export interface MeshSeat {
  keyId: KeyId;
  /** WireGuard public key, 32 bytes. */
  publicKey: Uint8Array;
  /** Position in the mesh ranges; both addresses follow from it. */
  host: number;
  /** Mesh driver `direct` only. */
  directCertificateSha256: Uint8Array | undefined;
}

/** Timed permission to call tools, with an absolute end: in the mesh (one key), or through the public door (no seat). */
export interface Lease {
  agentId: AgentId;
  userId: UserId;
  /** API token it was granted to; revoking that ends the lease. */
  tokenId: string;
  purpose: string;
  seat: MeshSeat | undefined;
  /** Wall clock, ms since the Unix epoch. */
  createdAt: number;
  expiresAt: number;
  /** Monotonic ms of the boot it was granted in: a wall clock that steps back prolongs nothing. */
  endsAtMonotonic: number;
}

/** What both hands of the clock show at one moment. */
export interface Moment {
  /** Wall clock, ms since the Unix epoch. */
  wall: number;
  /** Monotonic ms, comparable with {@link Lease.endsAtMonotonic}. */
  monotonic: number;
}

/** google.protobuf.Duration: both parts carry the same sign, nanos below one second. */
export interface WireDuration {
  seconds: number;
  nanos: number;
}

const nanosPerSecond = 1_000_000_000n;
const nanosPerMs = 1_000_000n;

/** How long the lease will live, ms. Only an absent `ttl` means the default; everything else must be within (0, max]. */
export function ttlOf(requested: WireDuration | undefined, rules: LeaseRules): Duration {
  if (requested === undefined) return rules.defaultTtl;
  const { seconds, nanos } = requested;
  const wellFormed =
    Number.isSafeInteger(seconds) &&
    Number.isInteger(nanos) &&
    Math.abs(nanos) < Number(nanosPerSecond) &&
    seconds * nanos >= 0;
  if (!wellFormed) throw new BadTtl('not a valid duration', rules.maxTtl);
  // BigInt: seconds may be up to 2^53, and one nanosecond over the maximum is over the maximum.
  const total = BigInt(seconds) * nanosPerSecond + BigInt(nanos);
  if (total <= 0n) throw new BadTtl(total === 0n ? 'zero' : 'negative', rules.maxTtl);
  if (total > BigInt(rules.maxTtl) * nanosPerMs) throw new BadTtl('too long', rules.maxTtl);
  if (total < nanosPerMs) throw new BadTtl('shorter than a millisecond', rules.maxTtl);
  return Number(total / nanosPerMs) as Duration;
}

export interface LeaseRequest extends Pick<Lease, 'agentId' | 'userId' | 'tokenId' | 'purpose' | 'seat'> {
  ttl: Duration;
}

/** Says yes, or why not. `held` are all leases that may still be alive. */
export function grant(request: LeaseRequest, held: readonly Lease[], rules: LeaseRules, at: Moment): Lease {
  if (request.purpose.length > maxPurposeLength) throw new BadPurpose(maxPurposeLength);
  const isPublic = request.seat === undefined;
  const alive = held.filter(
    (lease) => lease.userId === request.userId && (lease.seat === undefined) === isPublic && !isExpired(lease, at),
  );
  const limit = isPublic ? rules.maxPublicPerUser : rules.maxConcurrentPerUser;
  if (alive.length >= limit) {
    throw new TooManyLeases(
      limit,
      alive.map((lease) => lease.agentId),
      isPublic ? 'public accesses' : 'leases',
    );
  }
  const { ttl, ...facts } = request;
  return { ...facts, createdAt: at.wall, expiresAt: at.wall + ttl, endsAtMonotonic: at.monotonic + ttl };
}

/** Inclusive: the peer leaves the mesh in the same millisecond its token stops verifying. Whichever hand gets there first. */
export function isExpired(lease: Pick<Lease, 'expiresAt' | 'endsAtMonotonic'>, at: Moment): boolean {
  return remaining(lease, at) <= 0;
}

/** Milliseconds left, never negative. */
export function remaining(lease: Pick<Lease, 'expiresAt' | 'endsAtMonotonic'>, at: Moment): number {
  return Math.max(0, Math.min(lease.expiresAt - at.wall, lease.endsAtMonotonic - at.monotonic));
}

/**
 * The monotonic end of a lease read back after a restart. Within the same boot the stored one still counts; after a
 * reboot the monotonic clock began anew, and what is left is bounded by the wall clock and by the lease's whole length.
 */
export function rebaseMonotonicEnd(
  stored: { createdAt: number; expiresAt: number; endsAtMonotonic: number; sameBoot: boolean },
  at: Moment,
): number {
  if (stored.sameBoot) return stored.endsAtMonotonic;
  return at.monotonic + Math.min(stored.expiresAt - at.wall, stored.expiresAt - stored.createdAt);
}
