import { createHash } from 'node:crypto';
import { formatLocation, parseYamlLocated } from '@coral/config';
import { Policy } from './policy.js';
import { policySchema } from './policy-schema.js';

/**
 * Text of a policy file to the policy it states. Anything doubtful (an unknown word, an empty file, no binding) is a
 * `failed_precondition` error at `file:line:col`; there is no text that means "allow all".
 */
export function parsePolicy(text: string, file: string): Policy {
  const { value, locate } = parseYamlLocated(text, file, policySchema);
  const shortName = file.slice(file.lastIndexOf('/') + 1);
  const grants = value.bindings.map((binding, i) => ({
    role: binding.role,
    permissions: value.roles[binding.role]?.permissions ?? [],
    users: binding.users,
    groups: binding.groups,
    rule: `${formatLocation(shortName, locate(['bindings', i]))} role ${binding.role}`,
  }));
  const revision = createHash('sha256').update(text).digest('hex');
  return new Policy(revision, grants, new Map(Object.entries(value.groups)));
}
