import { CoralError } from '@coral/errors';
import type { UserId } from '@coral/model';

export class UserMismatch extends CoralError {
  constructor(verified: UserId) {
    super({
      kind: 'permission_denied',
      reason: 'user_mismatch',
      where: 'user_id',
      message: `user_id: your API token is ${verified}'s; nobody gets a lease in another's name.`,
      next: 'Leave user_id out, or use the token of the user you mean.',
    });
  }
}

export class NotYourLease extends CoralError {
  constructor() {
    super({
      kind: 'permission_denied',
      reason: 'not_your_lease',
      where: 'agent_id',
      message: 'agent_id: this lease is not yours, and you lack the permission manage:leases.',
      next: 'Ask its holder, or somebody with manage:leases, to release it.',
    });
  }
}

export class NotYourList extends CoralError {
  constructor() {
    super({
      kind: 'permission_denied',
      reason: 'not_your_leases',
      where: 'user_id',
      message: "user_id: other users' leases need the permission manage:leases.",
      next: 'Leave user_id out to see your own.',
    });
  }
}

export class BadAgentId extends CoralError {
  constructor() {
    super({
      kind: 'invalid_argument',
      reason: 'bad_agent_id',
      where: 'agent_id',
      message: 'agent_id: not the id of a lease.',
      next: 'Give the id as `coral colony ephemeral list` shows it: `eph-` or `pub-` and 16 letters and digits.',
    });
  }
}
