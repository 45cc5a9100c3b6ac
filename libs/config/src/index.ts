export { loadPrivateYamlFile, loadYamlFile, readConfigText } from './config-file.js';
export { deepFreeze } from './deep-freeze.js';
export {
  byteSizeField,
  durationField,
  parseByteSize,
  secretField,
  type ByteLimits,
  type DurationLimits,
} from './fields.js';
export { formatLocation, formatPath, type SourceLocation, type YamlPath } from './location.js';
export { nearest } from './nearest.js';
export { parseYaml, parseYamlLocated, type Located } from './parse-yaml.js';
export { maxListedProblems } from './problem.js';
export { Secret, SecretUnset, UnknownSecretScheme } from './secret.js';
export { maxAliases, maxConfigBytes } from './yaml-source.js';
export { isReservedName, maxDepth } from './yaml-tree.js';
