import { isReservedName, nearest } from '@coral/config';
import { permissions } from '@coral/model';
import { z } from 'zod';

/** Longest role, group and user names. User ids come from identity providers, which allow up to 255 (OpenID Connect Core, `sub`). */
export const maxNameLength = 64;
export const maxUserLength = 255;
/** How an owner names a group (`group:billing`); so no user id begins like this. */
export const groupPrefix = 'group:';

const reserved = 'this name is reserved by JavaScript and refused everywhere';

const name = z
  .string()
  .regex(/^[A-Za-z0-9][\w.-]*$/, 'names are letters, digits, ".", "_" and "-", and begin with a letter or digit')
  .max(maxNameLength, `names have at most ${maxNameLength} characters`)
  .refine((word) => !isReservedName(word), reserved);

const user = z
  .string()
  .regex(/^[^\s\p{C}]+$/u, 'user names have no spaces, control or invisible characters')
  .max(maxUserLength, `user names have at most ${maxUserLength} characters`)
  .refine(
    (word) => !word.startsWith(groupPrefix),
    `a user name cannot begin with "${groupPrefix}"; list groups under groups`,
  )
  .refine((word) => !isReservedName(word), reserved);

const role = z.strictObject({
  permissions: z.array(z.enum(permissions)).min(1, 'empty: a role without permissions grants nothing; remove it'),
});

const binding = z
  .strictObject({ role: name, users: z.array(user).prefault([]), groups: z.array(name).prefault([]) })
  .refine((one) => one.users.length + one.groups.length > 0, 'binds nobody; add users or groups');

/** Grants only: what no binding grants is denied. */
export const policySchema = z
  .strictObject({
    version: z.literal(1),
    groups: z.record(name, z.array(user)).prefault({}),
    roles: z
      .record(name, role)
      .refine((all) => Object.keys(all).length > 0, 'empty: no role, so nobody could do anything'),
    bindings: z.array(binding).min(1, 'empty: no binding, so nobody could do anything'),
  })
  .superRefine((policy, ctx) => {
    const refuse = (path: (string | number)[], what: string, word: string, known: readonly string[]): void => {
      const meant = nearest(word, known);
      const hint = meant === undefined ? `known here: ${known.join(', ') || 'none'}` : `did you mean ${meant}?`;
      ctx.addIssue({ code: 'custom', path, message: `unknown ${what} ${JSON.stringify(word)}; ${hint}` });
    };
    const roles = Object.keys(policy.roles);
    const groups = Object.keys(policy.groups);
    for (const [i, one] of policy.bindings.entries()) {
      if (!roles.includes(one.role)) refuse(['bindings', i, 'role'], 'role', one.role, roles);
      for (const [j, group] of one.groups.entries()) {
        if (!groups.includes(group)) refuse(['bindings', i, 'groups', j], 'group', group, groups);
      }
    }
  });

export type PolicyDocument = z.output<typeof policySchema>;
