export {
  callTools,
  isFault,
  ModelScript,
  say,
  type Break,
  type ScriptedAnswer,
  type ScriptedPart,
  type ScriptedReply,
  type ScriptedRequest,
  type ScriptedResult,
  type ScriptStep,
} from './llm/scripted-model.js';
export { playFault, type HttpFault, type Wording } from './llm/http-faults.js';
export { WireServer, type RecordedRequest, type WireHandler } from './llm/wire-server.js';
export { countTokens, cutInPieces, drained, playReply, type WireEvent } from './llm/play-reply.js';
export { OpenAiServer } from './llm/openai-server.js';
export { AnthropicServer } from './llm/anthropic-server.js';
export { injections, type Injection, type InjectionGoal, type InjectionPlace } from './injections/injections.js';
export { ImpairedPath, noImpairments, type Impairments, type Passage, type PathCounters } from './net/impairments.js';
export {
  MemoryLink,
  MemoryNetwork,
  MemorySocket,
  type MemoryNetworkOptions,
  type Place,
  type SeenDatagram,
} from './net/memory-network.js';
export { SeededRandom } from './net/seeded-random.js';
export { VirtualClock, type TimedPart, type VirtualClockOptions } from './net/virtual-clock.js';
export {
  ImpairmentProxy,
  type Direction,
  type ImpairmentProxyOptions,
  type RecordedDatagram,
} from './net/impairment-proxy.js';
