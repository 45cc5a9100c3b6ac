/** Everything a role can be given. A word that is not here refuses the policy file. */
export const permissions = [
  'read:metrics',
  'read:live_data',
  'read:topology',
  'read:events',
  'read:health',
  'read:audit',
  'manage:leases',
] as const;

export type Permission = (typeof permissions)[number];

export function isPermission(word: string): word is Permission {
  return (permissions as readonly string[]).includes(word);
}
