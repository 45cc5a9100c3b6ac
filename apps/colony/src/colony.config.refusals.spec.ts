import type { CoralError } from '@coral/errors';
import { describe, expect, it } from 'vitest';
import { parseColonyConfig } from './colony.config.js';

const parse = (text: string): ReturnType<typeof parseColonyConfig> =>
  parseColonyConfig(text, '/etc/coral/colony.yaml', { HOME: '/home/alex' });

describe('colony.yaml', () => {
  it.each<[string, string, string, string?]>([
    // [text, line:col, path and problem, reason]
    [
      'mcp_server:\n  tools: [coral_qurey]',
      '2:11',
      'mcp_server.tools[0]: expected one of coral_query, coral_fetch_live, coral_get_topology, coral_query_events, coral_get_health, got "coral_qurey"; did you mean coral_query?',
    ],
    [
      'mcp_server:\n  tools: []',
      '2:10',
      'mcp_server.tools: empty; to offer no tool at all, set mcp_server.enabled: false',
    ],
    [
      'listen: 0.0.0.0:41820\nmcp_server:\n  public: true',
      '3:3',
      'mcp_server.public_url: is needed: `listen` is no address that a client could be told',
    ],
    [
      'mcp_server:\n  public_url: https://coral.example.com',
      '2:15',
      'mcp_server.public_url: has no meaning while mcp_server.public is false',
    ],
    [
      'mcp_server:\n  public: true\n  public_url: http://coral.example.com',
      '3:15',
      'mcp_server.public_url: expected https://host, with a port if it is not the usual one, and nothing behind it',
    ],
    ...[
      'https://coral.example.com/base',
      'https://a:b@coral.example.com',
      'https://*',
      'coral.example.com',
      'null',
    ].map((url): [string, string, string] => [
      `mcp_server:\n  allowed_origins: ["${url}"]`,
      '2:21',
      'mcp_server.allowed_origins[0]: expected https://host or http://host, with a port if it is not the usual one, and nothing behind it',
    ]),
    ['mcp_server:\n  tools: [coral_query, coral_query]', '2:10', 'mcp_server.tools: a tool stands here twice'],
    [
      'mcp_server:\n  rbac:\n    coral_fetch_life: {}',
      '3:5',
      'mcp_server.rbac.coral_fetch_life: unknown key; did you mean mcp_server.rbac.coral_fetch_live?',
    ],
    [
      'mcp_server:\n  rbac:\n    coral_query:\n      required_permission: "read:metric"',
      '4:28',
      'mcp_server.rbac.coral_query.required_permission: expected one of read:metrics, read:live_data, read:topology, read:events, read:health, read:audit, manage:leases, got "read:metric"; did you mean read:metrics?',
    ],
    [
      'mcp_server:\n  rbac:\n    coral_fetch_live:\n      additional_check: agent_owner',
      '4:25',
      'mcp_server.rbac.coral_fetch_live.additional_check: expected agent_owner_match, got "agent_owner"',
    ],
    [
      'mcp_server:\n  rbac:\n    coral_query:\n      additional_check: agent_owner_match',
      '4:25',
      'mcp_server.rbac.coral_query.additional_check: coral_query does not ask one agent, so nothing can match; only coral_fetch_live does',
    ],
    [
      'mcp_server:\n  data_filtering:\n    max_response_size: 1000000',
      '3:24',
      'mcp_server.data_filtering.max_response_size: expected a whole number and a unit (B, kB, MB, GB, KiB, MiB, GiB), for example 1MB, got a number',
    ],
    [
      'mcp_server:\n  data_filtering:\n    max_response_size: 1GB',
      '3:24',
      'mcp_server.data_filtering.max_response_size: 1GB is above the most allowed, 16000000 bytes',
    ],
    [
      'mcp_server:\n  data_filtering:\n    redact_fields: ["password.*"]',
      '3:21',
      'mcp_server.data_filtering.redact_fields[0]: expected names joined by dots, the last one a word, for example "*.password"',
    ],
    [
      'mcp_server:\n  context_cache:\n    enabled: true',
      '2:3',
      'mcp_server.context_cache: unknown key; known here: enabled, public, public_url, allowed_origins, tools, rbac, data_filtering',
    ],
    ['mcp_server:\n  enabled: "yes"', '2:12', 'mcp_server.enabled: expected true or false, got text'],
    ['ephemral_agents: {}', '1:1', 'ephemral_agents: unknown key; did you mean ephemeral_agents?'],
    [
      'ephemeral_agents:\n  defualt_ttl: 5m',
      '2:3',
      'ephemeral_agents.defualt_ttl: unknown key; did you mean ephemeral_agents.default_ttl?',
    ],
    ['default_ttl: 5m', '1:1', 'default_ttl: unknown key; it belongs at ephemeral_agents.default_ttl'],
    ['ephemeral_agents:\n  max_ttl: 15m1s', '2:12', 'ephemeral_agents.max_ttl: 15m1s is above the most allowed, 15m'],
    [
      'ephemeral_agents:\n  default_ttl: 10m\n  max_ttl: 5m',
      '2:16',
      'ephemeral_agents.default_ttl: 10m is longer than max_ttl, 5m',
    ],
    ['ephemeral_agents:\n  default_ttl: 0s', '2:16', 'ephemeral_agents.default_ttl: 0s is below the least allowed, 1s'],
    [
      'ephemeral_agents:\n  default_ttl: -1m',
      '2:16',
      'ephemeral_agents.default_ttl: expected a number and a unit (ms, s, m, h, d), for example 90s, 5m or 1h30m',
    ],
    ['ephemeral_agents:\n  max_concurrent_per_user: 0', '2:28', 'ephemeral_agents.max_concurrent_per_user: at least 1'],
    [
      'ephemeral_agents:\n  max_concurrent_per_user: 1.5',
      '2:28',
      'ephemeral_agents.max_concurrent_per_user: expected a whole number, got a number',
    ],
    [
      'audit:\n  log_ephemeral_access: false',
      '2:25',
      'audit.log_ephemeral_access: cannot be false: the audit row is written before the answer leaves, so without a row there is no answer',
      'audit_always_on',
    ],
    [
      'audit:\n  log_mcp_tool_calls: false',
      '2:23',
      'audit.log_mcp_tool_calls: cannot be false: the audit row is written before the answer leaves, so without a row there is no answer',
      'audit_always_on',
    ],
    [
      '# old\nai:\n  provider: anthropic\n  api_key: sk-1',
      '2:1',
      'ai: a colony runs no model and holds no model key; move this block to ~/.coral/config.yaml on each laptop (docs/migration-rfd-014.md)',
    ],
    [
      'llm: {}',
      '1:1',
      'llm: a colony runs no model and holds no model key; move this block to ~/.coral/config.yaml on each laptop (docs/migration-rfd-014.md)',
    ],
    [
      'genkit:',
      '1:1',
      'genkit: a colony runs no model and holds no model key; move this block to ~/.coral/config.yaml on each laptop (docs/migration-rfd-014.md)',
    ],
    [
      'environment: production\nmesh: { driver: direct }',
      '1:14',
      'environment: production needs a mesh between machines; the driver direct is for development on one machine',
      'direct_driver_forbidden',
    ],
    ['environment: prod', '1:14', 'environment: expected one of development, production, got "prod"'],
    ['mesh:\n  driver: wg', '2:11', 'mesh.driver: expected userspace, or direct for development, got "wg"'],
    ['mesh:\n  endpoint: 0.0.0.0:41820', '2:13', 'mesh.endpoint: is no address that anybody could be told'],
    [
      'mesh:\n  driver: direct\n  endpoint: coral.example.com:41820',
      '3:13',
      'mesh.endpoint: has no meaning with the mesh driver direct',
    ],
    [
      'mesh:\n  driver: direct\n  listen: 10.0.0.1:0',
      '3:11',
      'mesh.listen: the mesh driver direct stays on this machine; use 127.0.0.1',
    ],
    [
      'mesh:\n  driver: direct\n  listen: 127.evil.example:0',
      '3:11',
      'mesh.listen: the mesh driver direct stays on this machine; use 127.0.0.1',
    ],
    [
      'mesh:\n  ipv4: 10.137.0.0/8',
      '2:9',
      'mesh.ipv4: "10.137.0.0/8" is not an IPv4 range of the form a.b.0.0/16.',
      'bad_mesh_range',
    ],
    [
      'mesh:\n  ipv6: 10.0.0.0/16',
      '2:9',
      'mesh.ipv6: "10.0.0.0/16" is not an IPv6 range with a prefix of 16 to 112 bits and nothing behind it.',
      'bad_mesh_range',
    ],
    ['listen: 41820', '1:9', 'listen: expected host:port, for example 127.0.0.1:41820, or [::1]:41820, got a number'],
    ['listen: localhost', '1:9', 'listen: expected host:port, for example 127.0.0.1:41820, or [::1]:41820'],
    ['listen: 127.0.0.1:65536', '1:9', 'listen: expected host:port, for example 127.0.0.1:41820, or [::1]:41820'],
    ['listen: ::1:80', '1:9', 'listen: expected host:port, for example 127.0.0.1:41820, or [::1]:41820'],
    ['colony:\n  id: My Shop', '2:7', 'colony.id: expected letters, digits, ".", "_" and "-", at most 63'],
    ['data_dir: ~/coral', '1:11', 'data_dir: only a shell knows "~"; write the whole path'],
    ['policy_file: ""', '1:14', 'policy_file: expected a path, got empty text'],
    [
      'telemetry:\n  retention: 30',
      '2:14',
      'telemetry.retention: expected a number and a unit (ms, s, m, h, d), for example 90s, 5m or 1h30m, got a number',
    ],
    ['health:\n  recent_window: 20m', '2:18', 'health.recent_window: must not be longer than reference_window'],
    ['tools:\n  deadline: 6m', '2:13', 'tools.deadline: 6m is above the most allowed, 5m'],
    ['listen: 127.0.0.1:1\nlisten: 127.0.0.1:2', '2:1', 'listen: this key stands here twice, first at line 1'],
    [
      'mcp_server:\n  __proto__: { enabled: false }',
      '2:3',
      'mcp_server.__proto__: this name is reserved by JavaScript and refused everywhere',
    ],
  ])('refuses %j at %s', (text, at, problem, reason = 'bad_config') => {
    const where = `/etc/coral/colony.yaml:${at}`;
    let refused: CoralError | undefined;
    try {
      parse(text);
    } catch (thrown) {
      refused = thrown as CoralError;
    }
    expect(refused).toMatchObject({ kind: 'failed_precondition', reason, where });
    expect(refused?.message).toBe(`${where}: ${problem}`);
    expect(refused?.next).toBeTruthy();
  });

  it('never prints a key that stands in a refused model block', () => {
    expect(() => parse('ai:\n  api_key: sk-live-4242')).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining('4242') as string }),
    );
  });
});
