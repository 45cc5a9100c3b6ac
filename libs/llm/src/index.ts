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
export { InsecureEndpoint } from './provider-http-settings.js';
export { converse, type Conversation, type ConversationEvent, type ConverseOptions } from './conversation.js';
export { defaultParallelCalls, defaultStallSeconds, type Budget } from './budget.js';
export type { PartialReason } from './budget-words.js';
export { maxRetryAfterMs, maxTries, type Alarm, type Sleep } from './retry.js';
export {
  costOf,
  modelPriceSchema,
  parsePrices,
  priceOf,
  type ModelPrice,
  type PriceTable,
  type Prices,
  type TokenRates,
} from './prices.js';
export { shippedPrices } from './prices-file.js';
export { defaultResultChars, makeVisible, unfence } from './fence.js';
export { findUnsupported } from './answer-check.js';
export { maxProviderText, ProviderFailed, type ProviderFailure } from './llm.errors.js';
export type { ToolCallRecord } from './tool-calls.js';
export type {
  ModelEvent,
  ModelRequest,
  NativeReply,
  Provider,
  TokenUsage,
  ToolCall,
  ToolOutcome,
  Turn,
} from './provider.js';
