import { permissions, type Permission } from '@coral/model';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parsePolicy } from './index.js';

/** The rules in their most naive form, sharing no code with the policy: nested loops over the written bindings. */
interface Written {
  groups: Record<string, string[]>;
  roles: Record<string, Permission[]>;
  bindings: { role: string; users: string[]; groups: string[] }[];
}

function oracle(written: Written, user: string, vouched: string[], permission: Permission): number {
  for (const [i, binding] of written.bindings.entries()) {
    let bound = false;
    for (const name of binding.users) if (name === user) bound = true;
    for (const group of binding.groups) {
      for (const member of written.groups[group] ?? []) if (member === user) bound = true;
      for (const claim of vouched) if (claim === group) bound = true;
    }
    if (!bound) continue;
    for (const granted of written.roles[binding.role] ?? []) if (granted === permission) return i;
  }
  return -1;
}

const users = ['alex', 'jordan', 'sam', 'g1', 'r1'];
const groups = ['g1', 'g2', 'g3'];
const roles = ['r1', 'r2', 'r3', 'alex'];
const someOf = <T>(all: readonly T[], least = 0): fc.Arbitrary<T[]> => fc.subarray([...all], { minLength: least });

const policies: fc.Arbitrary<Written> = fc.record({
  groups: fc.record({ g1: someOf(users), g2: someOf(users), g3: someOf(users) }),
  roles: fc.record(Object.fromEntries(roles.map((role) => [role, someOf(permissions, 1)]))),
  bindings: fc.array(
    fc
      .record({ role: fc.constantFrom(...roles), users: someOf(users), groups: someOf(groups) })
      .filter((one) => one.users.length + one.groups.length > 0),
    { minLength: 1, maxLength: 6 },
  ),
});

const headLines = 4;

function write(written: Written): string {
  const named = Object.fromEntries(Object.entries(written.roles).map(([role, list]) => [role, { permissions: list }]));
  const bindings = written.bindings.map((binding) => `  - ${JSON.stringify(binding)}`);
  return [
    'version: 1',
    `groups: ${JSON.stringify(written.groups)}`,
    `roles: ${JSON.stringify(named)}`,
    'bindings:',
    ...bindings,
    '',
  ].join('\n');
}

describe('decide', () => {
  it('agrees with the naive oracle on every user, claim and permission of random policies', () => {
    let decisions = 0;
    let allowed = 0;
    fc.assert(
      fc.property(policies, someOf(groups), (written, vouched) => {
        const policy = parsePolicy(write(written), 'p.yaml');
        for (const user of [...users, 'eve']) {
          for (const claims of [[], vouched]) {
            const subject = { userId: user, groups: claims };
            const expected = permissions.filter((permission) => oracle(written, user, claims, permission) >= 0);
            expect(policy.permissionsOf(subject)).toEqual(expected);
            for (const permission of permissions) {
              const by = oracle(written, user, claims, permission);
              const decision = policy.decide(subject, permission);
              const rule =
                by < 0 ? 'default deny' : `p.yaml:${headLines + 1 + by}:5 role ${written.bindings[by]?.role}`;
              if (decision.allowed !== by >= 0 || decision.rule !== rule) {
                throw new Error(`${user} ${permission}: expected ${rule}, got ${JSON.stringify(decision)}`);
              }
              decisions += 1;
              allowed += decision.allowed ? 1 : 0;
            }
          }
        }
      }),
      { numRuns: 1_500 },
    );
    // A generator that only ever allows, or only ever denies, would prove nothing.
    expect(decisions).toBe(1_500 * 6 * 2 * permissions.length);
    expect(allowed / decisions).toBeGreaterThan(0.2);
    expect(allowed / decisions).toBeLessThan(0.8);
  });

  it('never allows anything on a damaged file: refused, or no more than the whole file grants', () => {
    fc.assert(
      fc.property(policies, fc.double({ min: 0, max: 1, noNaN: true }), (written, part) => {
        const text = write(written);
        const whole = parsePolicy(text, 'p.yaml');
        let damaged;
        try {
          damaged = parsePolicy(text.slice(0, Math.floor(text.length * part)), 'p.yaml');
        } catch {
          return;
        }
        for (const userId of users) {
          const granted = whole.permissionsOf({ userId });
          for (const permission of damaged.permissionsOf({ userId })) expect(granted).toContain(permission);
        }
      }),
      { numRuns: 500 },
    );
  });
});
