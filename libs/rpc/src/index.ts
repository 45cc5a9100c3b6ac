export * as colonyV1 from './colony-v1.js';
export * as agentV1 from './gen/coral/agent/v1/agent.js';
export * as otlp from './otlp.js';
