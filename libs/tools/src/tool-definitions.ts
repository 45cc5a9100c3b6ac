import { z } from 'zod';
import { outputSchemas } from './output-schemas.js';

/**
 * The five tools of RFD 028: names, properties, types, defaults and enums are the published ones; what is added is optional.
 * Descriptions are part of the model's prompt: short, and true.
 */
export const toolSchemas = {
  coral_query: z.strictObject({
    query: z.string().min(1).max(32_768).describe('Natural language query or SQL-like expression'),
    scope: z.string().max(256).optional().describe("Service or agent scope (e.g., 'orders', 'api')"),
    time_range: z.string().max(32).default('1h').describe("Time range: '1h', '24h', '7d'"),
  }),
  coral_fetch_live: z.strictObject({
    agent_id: z.string().min(1).max(128).describe('Target agent ID'),
    sql_query: z.string().min(1).max(32_768).describe("SQL query to execute on agent's DuckDB"),
  }),
  coral_get_topology: z.strictObject({
    format: z.enum(['json', 'graphviz']).default('json'),
    time_range: z.string().max(32).default('1h'),
  }),
  coral_query_events: z.strictObject({
    event_type: z.enum(['deploy', 'restart', 'crash', 'error_spike', 'alert']).optional().describe('Event type filter'),
    time_range: z.string().max(32).default('24h'),
    service: z.string().max(256).optional().describe('Optional service filter'),
  }),
  coral_get_health: z.strictObject({
    service_filter: z.string().max(256).optional().describe('Optional service name pattern'),
  }),
} as const;

export type ToolName = keyof typeof toolSchemas;
export type ToolArgs<N extends ToolName = ToolName> = z.output<(typeof toolSchemas)[N]>;
export type QueryArgs = ToolArgs<'coral_query'>;
export type FetchLiveArgs = ToolArgs<'coral_fetch_live'>;
export type GetTopologyArgs = ToolArgs<'coral_get_topology'>;
export type QueryEventsArgs = ToolArgs<'coral_query_events'>;
export type GetHealthArgs = ToolArgs<'coral_get_health'>;

export const toolNames = Object.keys(toolSchemas) as ToolName[];

export function isToolName(word: string): word is ToolName {
  return Object.hasOwn(toolSchemas, word);
}

export interface ToolDefinition {
  name: ToolName;
  description: string;
  /** JSON Schema 2020-12 of the arguments. */
  inputSchema: Record<string, unknown>;
  /** JSON Schema 2020-12 of `structuredContent`, of an answer or of an error. A colony of another version may send none. */
  outputSchema?: Record<string, unknown>;
}

const descriptions: Record<ToolName, string> = {
  coral_query:
    'Query aggregated metrics and telemetry from agents: "orders latency, last 1h, by route", "errors by service", "orders deployments, last 4h", or SELECT over published views',
  coral_fetch_live: "Fetch live data from specific agent's DuckDB (SELECT over the view spans)",
  coral_get_topology: 'Get service dependency graph and topology',
  coral_query_events: 'Search events (deploys, restarts, crashes, errors)',
  coral_get_health: 'Get current health status of services',
};

function definitionOf(name: ToolName): ToolDefinition {
  const { $schema: _dialect, ...inputSchema } = z.toJSONSchema(toolSchemas[name], {
    io: 'input',
    override: dropLengths,
  });
  return { name, description: descriptions[name], inputSchema, outputSchema: outputSchemas[name] };
}

/** A model gains nothing from lengths and pays for them in every conversation; the schemas above hold callers to them. */
function dropLengths({ jsonSchema }: { jsonSchema: { minLength?: number; maxLength?: number } }): void {
  delete jsonSchema.minLength;
  delete jsonSchema.maxLength;
}

export const toolDefinitions: readonly ToolDefinition[] = toolNames.map(definitionOf);
