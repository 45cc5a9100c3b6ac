export { parsePolicy } from './parse-policy.js';
export { defaultDeny, Policy, type Decision, type Grant, type Resource, type Subject } from './policy.js';
export {
  policyPollMs,
  policySettleMs,
  watchPolicyFile,
  type PolicyStatus,
  type PolicyTriggers,
  type PolicyWatch,
  type PolicyWatchOptions,
} from './policy-file.js';
export { groupPrefix, maxNameLength, maxUserLength } from './policy-schema.js';
