import { describe, expect, it } from 'vitest';
import { toolDefinitions, toolSchemas } from './index.js';

/** RFD 028, "MCP Tools Specification": what each published property must keep. */
const published = {
  coral_query: { query: { type: 'string' }, scope: { type: 'string' }, time_range: { type: 'string', default: '1h' } },
  coral_fetch_live: { agent_id: { type: 'string' }, sql_query: { type: 'string' } },
  coral_get_topology: { format: { type: 'string', enum: ['json', 'graphviz'], default: 'json' } },
  coral_query_events: {
    event_type: { type: 'string', enum: ['deploy', 'restart', 'crash', 'error_spike', 'alert'] },
    time_range: { type: 'string', default: '24h' },
    service: { type: 'string' },
  },
  coral_get_health: { service_filter: { type: 'string' } },
};
const required: Record<string, string[]> = { coral_query: ['query'], coral_fetch_live: ['agent_id', 'sql_query'] };

describe('the five tools', () => {
  it('keep RFD 028’s names, types, defaults, enums and required properties', () => {
    expect(toolDefinitions.map(({ name }) => name)).toEqual(Object.keys(published));
    for (const { name, inputSchema } of toolDefinitions) {
      expect(inputSchema).toMatchObject({ type: 'object', additionalProperties: false, properties: published[name] });
      expect(inputSchema['required'] ?? []).toEqual(required[name] ?? []);
    }
  });

  it('fill in the published defaults and refuse what they do not know', () => {
    expect(toolSchemas.coral_query.parse({ query: 'latency' })).toEqual({ query: 'latency', time_range: '1h' });
    expect(toolSchemas.coral_query_events.parse({})).toEqual({ time_range: '24h' });
    expect(toolSchemas.coral_get_topology.parse({})).toMatchObject({ format: 'json' });
    expect(toolSchemas.coral_get_health.safeParse({ service: 'x' }).success).toBe(false);
  });

  it('cost few tokens: their definitions stay under 3,000 characters', () => {
    expect(JSON.stringify(toolDefinitions).length).toBeLessThan(3_000);
  });
});
