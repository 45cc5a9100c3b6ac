export type { ModelEvent, ModelRequest, Provider, ToolCall, ToolOutcome, Turn } from './provider.js';
