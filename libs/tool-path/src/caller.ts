import { CoralError } from '@coral/errors';
import type { AccessClaims } from '@coral/auth';
import type { Permission } from '@coral/model';
import type { Caller } from '@coral/tools';
import type { Stranger, ToolPathDeps } from './contract.js';
import { LeaseExpired, TokenInvalid, TokenMissing, TokenWrongTunnel } from './tool-path.errors.js';

export interface VerifiedCaller extends Caller {
  tokenId: string;
  /** What the token is limited to, of all that the policy gives; undefined for no limit. */
  scope: readonly Permission[] | undefined;
}

/** What a good token says although the call is refused: worth a place in the row, as a claim. */
export interface ClaimedCaller {
  claimed_user_id: string;
  claimed_agent_id: string;
}

export type Verification =
  | { caller: VerifiedCaller; error?: undefined }
  | {
      caller?: undefined;
      error: CoralError;
      /** Token and tunnel agree, only the lease is over: it is known who was refused. */
      known?: VerifiedCaller;
      claimed?: ClaimedCaller;
    };

type Doorkeeper = Pick<ToolPathDeps, 'verifyToken' | 'lease'>;

/** Half-open like a token's own life: at `expiresAt` the lease is over. */
export function leaseIsLive(deps: Pick<ToolPathDeps, 'lease'>, caller: Caller, now: number): boolean {
  const lease = deps.lease(caller.agentId);
  return lease !== undefined && lease.keyId === caller.keyId && lease.expiresAt > now;
}

/**
 * A good token for this door, in the tunnel of its own key where there is one, under a lease that is live. All three, or
 * nobody is calling.
 */
export async function verifyCaller(
  deps: Doorkeeper,
  { token, peer, audience }: Pick<Stranger, 'token' | 'peer' | 'audience'>,
  now: number,
): Promise<Verification> {
  if (token === undefined || token === '') return { error: new TokenMissing() };
  let claims: AccessClaims;
  try {
    claims = await deps.verifyToken(token, now, audience);
  } catch (thrown) {
    const isVerdict = thrown instanceof CoralError && thrown.kind === 'unauthenticated';
    return { error: isVerdict ? thrown : new TokenInvalid(thrown) };
  }
  const { userId, agentId, keyId, tokenId, scope } = claims;
  const caller = { userId, agentId, keyId, tokenId, scope };
  // In the mesh nobody is without a tunnel; outside nobody has one.
  if (keyId !== peer || (peer === undefined) !== (audience === 'public')) {
    const claimed = { claimed_user_id: userId, claimed_agent_id: agentId };
    return { error: new TokenWrongTunnel(), claimed };
  }
  if (!leaseIsLive(deps, caller, now)) return { error: new LeaseExpired(), known: caller };
  return { caller };
}
