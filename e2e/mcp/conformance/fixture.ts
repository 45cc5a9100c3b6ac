import {
  CLIENT_CAPABILITIES_META_KEY,
  type CallToolResult,
  type ClientCapabilities,
  type InputRequiredResult,
  type ServerContext,
} from '@modelcontextprotocol/server';

/** A tool that only a conformance scenario calls. What it answers is laid down by `conformance list` and its sources. */
export interface FixtureTool {
  name: string;
  description: string;
  /** Properties of the arguments; all of them are strings and all are required. */
  args?: Record<string, string>;
  run(args: Record<string, string>, ctx: ServerContext): Promise<CallToolResult | InputRequiredResult>;
}

export function text(words: string): CallToolResult {
  return { content: [{ type: 'text', text: words }] };
}

/** What the client of 2026 says with each request; nothing for one of 2025, which said it in another request. */
export function clientCapabilities({ mcpReq }: ServerContext): ClientCapabilities {
  const envelope: Record<string, unknown> = mcpReq.envelope ?? {};
  return (envelope[CLIENT_CAPABILITIES_META_KEY] ?? {}) as ClientCapabilities;
}

/** One red pixel. */
export const png = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==';
/** A WAV file without samples. */
export const wav = 'UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=';
