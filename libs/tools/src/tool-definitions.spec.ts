import { createHash } from 'node:crypto';
import { encode } from 'gpt-tokenizer/encoding/o200k_base';
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

/** What all definitions may cost a model, as a client hands them over: `tools` of tools/list. */
const maxTokens = 1_000;

/**
 * Whoever changes a word that a model reads changes this line too, on purpose: definitions that change unseen are how
 * tools are poisoned. The order counts, as models cache their prompts.
 */
const snapshot = 'sha256:65973b7f095523f3ed1a2294749210ce7d23d5dd61a38a616c15c1396b0dfdf1';

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

  it('hold callers to lengths that models are not told of', () => {
    for (const { inputSchema } of toolDefinitions) expect(JSON.stringify(inputSchema)).not.toMatch(/m(in|ax)Length/);
    expect(toolSchemas.coral_query.safeParse({ query: '' }).success).toBe(false);
    expect(toolSchemas.coral_query.safeParse({ query: 'x'.repeat(32_769) }).success).toBe(false);
    expect(toolSchemas.coral_get_health.safeParse({ service_filter: 'x'.repeat(257) }).success).toBe(false);
  });

  it(`cost at most ${maxTokens} tokens together, output schemas and annotations included`, () => {
    const wire = toolDefinitions.map((tool) => ({
      ...tool,
      annotations: { readOnlyHint: true, openWorldHint: tool.name === 'coral_fetch_live' },
    }));
    const tokens = encode(JSON.stringify(wire)).length;
    console.log(`tool_definitions_tokens ${tokens} (o200k_base)`);
    expect(tokens).toBeLessThanOrEqual(maxTokens);
  });

  it('are the ones that were agreed on, to the letter', () => {
    const hash = createHash('sha256').update(JSON.stringify(toolDefinitions)).digest('hex');
    expect(`sha256:${hash}`).toBe(snapshot);
  });

  it('hold no text but their own, and fetch no schema from anywhere', () => {
    const text = JSON.stringify(toolDefinitions);
    expect(text).not.toMatch(/\$ref|\$id|\$schema|https?:/);
    // Nothing to see but what there is to see: printable ASCII.
    expect(text).toMatch(/^[\x20-\x7e]*$/);
  });
});
