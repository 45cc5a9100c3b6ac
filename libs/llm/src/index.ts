export {
  createProvider,
  isProviderName,
  isUsable,
  providerNames,
  resolveModel,
  type ProviderName,
  type ProviderSettings,
} from './registry.js';
export {
  endpointHost,
  isCustomEndpoint,
  isInsecureEndpoint,
  isOnThisMachine,
  providerOfModel,
  usualEndpoint,
  usualKeyVariable,
} from './registry-facts.js';
export { converse, type Conversation, type ConversationEvent, type ConverseOptions } from './conversation.js';
export { defaultParallelCalls, type Budget, type PartialReason } from './budget.js';
export { defaultResultChars, makeVisible, unfence } from './fence.js';
export { findUnsupported } from './answer-check.js';
export type { ToolCallRecord } from './tool-calls.js';
export type { ModelEvent, ModelRequest, Provider, ToolCall, ToolOutcome, Turn } from './provider.js';
