import { Ability } from '@casl/ability';
import { permissions, type Permission } from '@coral/model';
import { groupPrefix } from './policy-schema.js';

/** Who asks: the verified subject, and groups its credential vouches for. */
export interface Subject {
  userId: string;
  groups?: readonly string[];
}

/** What is asked about. No rule depends on it yet; decisions name it in their reason. */
export interface Resource {
  service?: string;
  agentId?: string;
  agentOwner?: string;
}

export interface Decision {
  allowed: boolean;
  permission: Permission;
  /** `policy.yaml:14:5 role developer`, the binding that decided, or `default deny`. */
  rule: string;
  /** For people: one sentence. */
  reason: string;
}

/** One binding as the file has it, with all that its role grants. */
export interface Grant {
  role: string;
  permissions: readonly Permission[];
  users: readonly string[];
  groups: readonly string[];
  /** `policy.yaml:14:5 role developer`. */
  rule: string;
}

export const defaultDeny = 'default deny';

/** Everything is one subject to CASL as long as rules have no conditions. */
const everything = 'colony';
type ColonyAbility = Ability<[Permission, typeof everything]>;

/** Different sets of bindings met so far; more than this many and the cache starts anew. */
const maxCachedAbilities = 1_000;

/**
 * The policy in force: immutable, so a decision fits one version of the file whole. Default deny; only bindings grant.
 */
export class Policy {
  /** SHA-256 of the file's text, hexadecimal. */
  readonly revision: string;
  readonly #grants: readonly Grant[];
  readonly #groupsOfUser = new Map<string, Set<string>>();
  readonly #abilities = new Map<string, ColonyAbility>();

  constructor(revision: string, grants: readonly Grant[], groups: ReadonlyMap<string, readonly string[]>) {
    this.revision = revision;
    this.#grants = grants;
    for (const [group, users] of groups) {
      for (const user of users) {
        const known = this.#groupsOfUser.get(user) ?? new Set();
        this.#groupsOfUser.set(user, known.add(group));
      }
    }
  }

  /** May `subject` do this now? Asked at every call; nothing about the answer is kept in tokens. */
  decide(subject: Subject, permission: Permission, resource: Resource = {}): Decision {
    const bound = this.#grantsOf(subject);
    const rule = this.#abilityOf(bound).relevantRuleFor(permission, everything);
    const about = describe(resource);
    if (rule?.reason !== undefined) {
      const reason = `${subject.userId} has ${permission}${about} by ${rule.reason}.`;
      return { allowed: true, permission, rule: rule.reason, reason };
    }
    const roles = this.rolesOf(subject);
    const why =
      roles.length === 0
        ? 'no role is bound to this user'
        : `no role bound to this user (${roles.join(', ')}) grants it`;
    return {
      allowed: false,
      permission,
      rule: defaultDeny,
      reason: `${subject.userId} lacks ${permission}${about}: ${why}.`,
    };
  }

  /** In the order of the file, each once. */
  rolesOf(subject: Subject): string[] {
    return [...new Set(this.#grantsOf(subject).map((grant) => grant.role))];
  }

  /** In the order of the permission table. */
  permissionsOf(subject: Subject): Permission[] {
    const granted = new Set(this.#grantsOf(subject).flatMap((grant) => grant.permissions));
    return permissions.filter((permission) => granted.has(permission));
  }

  /** Is `owner` this subject (`alex`) or a group it is in (`group:billing`)? The check named `agent_owner_match`. */
  owns(subject: Subject, owner: string): boolean {
    if (owner.startsWith(groupPrefix)) return this.#isIn(subject, owner.slice(groupPrefix.length));
    return owner !== '' && owner === subject.userId;
  }

  #isIn(subject: Subject, group: string): boolean {
    const vouched = subject.groups?.includes(group) ?? false;
    return vouched || (this.#groupsOfUser.get(subject.userId)?.has(group) ?? false);
  }

  #grantsOf(subject: Subject): Grant[] {
    return this.#grants.filter(
      (grant) => grant.users.includes(subject.userId) || grant.groups.some((group) => this.#isIn(subject, group)),
    );
  }

  #abilityOf(grants: readonly Grant[]): ColonyAbility {
    const key = grants.map((grant) => this.#grants.indexOf(grant)).join();
    const cached = this.#abilities.get(key);
    if (cached) return cached;
    // The last rule wins in CASL; reversed, the first binding in the file is the one that is named.
    const rules = grants.toReversed().map((grant) => ({
      action: [...grant.permissions],
      subject: everything as typeof everything,
      reason: grant.rule,
    }));
    const made: ColonyAbility = new Ability<[Permission, typeof everything]>(rules);
    if (this.#abilities.size >= maxCachedAbilities) this.#abilities.clear();
    this.#abilities.set(key, made);
    return made;
  }
}

function describe(resource: Resource): string {
  if (resource.agentId !== undefined) return ` on agent ${resource.agentId}`;
  return resource.service === undefined ? '' : ` on service ${resource.service}`;
}
