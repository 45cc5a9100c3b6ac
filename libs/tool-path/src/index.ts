export { maxArgumentBytes, maxArgumentDepth, maxIdempotencyKeyLength } from './arguments.js';
export type { ToolOutcome } from './call-record.js';
export type {
  MalformedRequest,
  Stranger,
  ToolAnswer,
  ToolPathDeps,
  ToolRequest,
  ToolRequirement,
  ToolRules,
} from './contract.js';
export { redacted, Redactor } from './redact.js';
export { maxReplayedAnswers, maxReplayedBytes, replayMs } from './replay.js';
export { ToolPath } from './tool-call.js';
export {
  InsufficientScope,
  LeaseExpired,
  MissingPermission,
  NotAgentOwner,
  TokenMissing,
  TokenWrongTunnel,
  UnknownTool,
} from './tool-path.errors.js';
