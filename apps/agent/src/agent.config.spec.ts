import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseAgentConfig } from './agent.config.js';

const example = readFileSync(new URL('../../../config/agent.example.yaml', import.meta.url), 'utf8');

const least = `name: node-1
data_dir: /var/lib/coral-agent
colony:
  endpoint: colony.example.com:41820
  ca_fingerprint: sha256:${'0'.repeat(64)}
join_token: env://CORAL_JOIN_TOKEN
`;

describe('agent config', () => {
  it('parses the example, whose values are the defaults', () => {
    const shown = parseAgentConfig(example, 'config/agent.example.yaml');
    expect(shown).toEqual(parseAgentConfig(least, 'least.yaml'));
    expect(shown.otlp.grpc.listen).toEqual({ host: '127.0.0.1', port: 4_317 });
    expect(shown.limits.max_body).toBe(16 * 1_048_576);
    expect(JSON.stringify(shown)).not.toContain('CORAL_JOIN_TOKEN_VALUE');
  });

  it.each([
    ['limit:\n  max_body: 1MiB\n', /limits/],
    ['limits:\n  max_body: 128MiB\n', /max_in_flight/],
    ['retention:\n  max_age: 2m\n', /hot_window/],
    ['otlp:\n  grpc:\n    listen: "4317"\n', /host:port/],
    ['summaries:\n  interval: 10ms\n', /interval/],
  ])('refuses %j and says where', (addition, problem) => {
    expect(() => parseAgentConfig(least + addition, 'agent.yaml')).toThrow(
      expect.objectContaining({ kind: 'failed_precondition', message: expect.stringMatching(problem) }),
    );
  });
});
