import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CoralError } from '@coral/errors';
import { parsePolicy } from '@coral/policy';
import { toolNames } from '@coral/tools';
import { describe, expect, it } from 'vitest';
import { loadColonyConfig, parseColonyConfig, toolRulesOf } from './colony.config.js';

const env = { CORAL_HOME: '/home/alex/.coral' };
const parse = (text: string): ReturnType<typeof parseColonyConfig> =>
  parseColonyConfig(text, '/etc/coral/colony.yaml', env);
const projectRoot = join(import.meta.dirname, '../../..');

/** RFD 028, "Configuration Example", as published. */
const firstExample = `# Colony config NO LONGER includes AI/LLM settings
# (those are now in user config)

# MCP server settings
mcp_server:
    enabled: true
    tools:
        - coral_query
        - coral_fetch_live
        - coral_get_topology
        - coral_query_events
        - coral_get_health

    # RBAC for MCP tools
    rbac:
        coral_query:
            required_permission: "read:metrics"
        coral_fetch_live:
            required_permission: "read:live_data"

# Ephemeral agent settings
ephemeral_agents:
    enabled: true
    default_ttl: "5m"
    max_ttl: "15m"
    max_concurrent_per_user: 3

# Audit logging (enhanced for ephemeral access)
audit:
    log_ephemeral_access: true
    log_mcp_tool_calls: true
    store_transcripts: false  # Optional: store LLM conversation logs
`;

/** RFD 028, "MCP Tool RBAC" and "Data Exposure", as published: two pieces of one colony.yaml. */
const secondExample = `# colony.yaml
mcp_server:
    rbac:
        coral_query:
            required_permission: "read:metrics"
        coral_fetch_live:
            required_permission: "read:live_data"
            additional_check: "agent_owner_match"  # User must own agent
    data_filtering:
        redact_fields:
            - "*.password"
            - "*.api_key"
            - "*.secret"
        max_response_size: "1MB"  # Prevent excessive data exfiltration
`;

describe('colony.yaml', () => {
  it('may be empty: every key has a default', () => {
    expect(parse('')).toEqual({
      colony: { id: 'coral' },
      environment: 'development',
      data_dir: '/home/alex/.coral/colony',
      listen: { host: '127.0.0.1', port: 41_820 },
      ops_listen: { host: '127.0.0.1', port: 9_464 },
      mesh: {
        driver: 'direct',
        listen: { host: '127.0.0.1', port: 0 },
        ipv4: '10.137.0.0/16',
        ipv6: 'fd42:c0a1::/48',
      },
      policy_file: '/etc/coral/policy.yaml',
      mcp_server: {
        enabled: true,
        tools: toolNames,
        rbac: {},
        data_filtering: { redact_fields: ['*.password', '*.api_key', '*.secret'], max_response_size: 1_000_000 },
      },
      ephemeral_agents: { enabled: true, default_ttl: 300_000, max_ttl: 900_000, max_concurrent_per_user: 3 },
      audit: { log_ephemeral_access: true, log_mcp_tool_calls: true, store_transcripts: false },
      telemetry: { retention: 30 * 86_400_000, staleness: 60_000 },
      health: { recent_window: 60_000, reference_window: 600_000 },
      tools: { deadline: 10_000 },
    });
  });

  it("takes RFD 028's first example as published, and it says what the defaults say", () => {
    const { mcp_server: server, ...rest } = parse(firstExample);
    const { mcp_server: usual, ...usually } = parse('');
    expect(rest).toEqual(usually);
    expect({ ...server, rbac: {} }).toEqual(usual);
    expect(toolRulesOf(parse(firstExample))).toEqual(toolRulesOf(parse('')));
  });

  it("takes RFD 028's second example as published", () => {
    expect(toolRulesOf(parse(secondExample))).toEqual({
      enabled: toolNames,
      required: {
        coral_query: { permission: 'read:metrics' },
        coral_fetch_live: { permission: 'read:live_data', additionalCheck: 'agent_owner_match' },
        coral_get_topology: { permission: 'read:topology' },
        coral_query_events: { permission: 'read:events' },
        coral_get_health: { permission: 'read:health' },
      },
      redactFields: ['*.password', '*.api_key', '*.secret'],
      maxResponseBytes: 1_000_000,
      deadlineMs: 10_000,
    });
  });

  it('is frozen', () => {
    const config = parse('');
    expect(Object.isFrozen(config) && Object.isFrozen(config.mcp_server.tools)).toBe(true);
  });

  it('takes every key at another value than its default', () => {
    const config = parse(`
colony: { id: my-shop-2 }
environment: development
data_dir: data
listen: "[::1]:0"
ops_listen: 0.0.0.0:9999
mesh: { driver: direct, listen: "127.0.0.2:7", ipv4: 10.9.0.0/16, ipv6: "fd00:1::/64" }
policy_file: ../policies/one.yaml
mcp_server:
  enabled: true
  tools: [coral_get_health, coral_query]
  rbac:
    coral_get_health: { required_permission: read:metrics }
    coral_fetch_live: { additional_check: agent_owner_match }
  data_filtering: { redact_fields: [], max_response_size: 64KiB }
ephemeral_agents: { enabled: false, default_ttl: 1m, max_ttl: 2m, max_concurrent_per_user: 1 }
audit: { store_transcripts: true }
telemetry: { retention: 7d, staleness: 2m }
health: { recent_window: 30s, reference_window: 5m }
tools: { deadline: 3s }
`);
    expect(config).toMatchObject({
      colony: { id: 'my-shop-2' },
      data_dir: '/etc/coral/data',
      listen: { host: '::1', port: 0 },
      ops_listen: { host: '0.0.0.0', port: 9_999 },
      mesh: { listen: { host: '127.0.0.2', port: 7 }, ipv4: '10.9.0.0/16', ipv6: 'fd00:1::/64' },
      policy_file: '/etc/policies/one.yaml',
      ephemeral_agents: { enabled: false, default_ttl: 60_000, max_ttl: 120_000, max_concurrent_per_user: 1 },
      audit: { store_transcripts: true },
      telemetry: { retention: 604_800_000, staleness: 120_000 },
      health: { recent_window: 30_000, reference_window: 300_000 },
    });
    expect(toolRulesOf(config)).toMatchObject({
      enabled: ['coral_get_health', 'coral_query'],
      required: {
        coral_get_health: { permission: 'read:metrics' },
        coral_fetch_live: { permission: 'read:live_data', additionalCheck: 'agent_owner_match' },
      },
      redactFields: [],
      maxResponseBytes: 65_536,
      deadlineMs: 3_000,
    });
  });

  it('offers no tool when the MCP server is off', () => {
    expect(toolRulesOf(parse('mcp_server: { enabled: false }')).enabled).toEqual([]);
  });

  it('shortens the usual lease with max_ttl when default_ttl is not set', () => {
    expect(parse('ephemeral_agents: { max_ttl: 2m }').ephemeral_agents.default_ttl).toBe(120_000);
  });

  it('finds its data directory by data_dir, CORAL_HOME, HOME, in this order', () => {
    const at = (text: string, vars: NodeJS.ProcessEnv): string =>
      parseColonyConfig(text, '/c/colony.yaml', vars).data_dir;
    expect(at('data_dir: /d', { CORAL_HOME: '/h', HOME: '/u' })).toBe('/d');
    expect(at('', { CORAL_HOME: '/h', HOME: '/u' })).toBe('/h/colony');
    expect(at('', { CORAL_HOME: '', HOME: '/u' })).toBe('/u/.coral/colony');
    for (const vars of [{}, { CORAL_HOME: 'relative' }]) {
      expect(() => at('', vars)).toThrow(
        expect.objectContaining({ kind: 'failed_precondition', reason: 'data_dir_unknown' }),
      );
    }
  });

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
      'mcp_server:\n  data_filtering:\n    redact_fields: ["$.password"]',
      '3:21',
      'mcp_server.data_filtering.redact_fields[0]: expected names joined by dots, "*" for any, for example "*.password"',
    ],
    [
      'mcp_server:\n  context_cache:\n    enabled: true',
      '2:3',
      'mcp_server.context_cache: unknown key; known here: enabled, tools, rbac, data_filtering',
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
      'environment: production',
      '1:14',
      'environment: production needs a mesh that encrypts between machines; the only driver so far, direct, is for development on one machine',
      'direct_driver_forbidden',
    ],
    ['environment: prod', '1:14', 'environment: expected one of development, production, got "prod"'],
    ['mesh:\n  driver: userspace', '2:11', 'mesh.driver: the only mesh driver so far is direct, got "userspace"'],
    ['mesh:\n  listen: 10.0.0.1:0', '2:11', 'mesh.listen: the mesh driver direct stays on this machine; use 127.0.0.1'],
    [
      'mesh:\n  listen: 127.evil.example:0',
      '2:11',
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
    ['colony:\n  id: My Shop', '2:7', 'colony.id: expected 1 to 63 lower-case letters, digits and inner "-"'],
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

describe('the example files', () => {
  it('config/colony.example.yaml parses and shows the defaults', async () => {
    const text = await readFile(join(projectRoot, 'config/colony.example.yaml'), 'utf8');
    const example = parse(text);
    const usual = parse('');
    expect(toolRulesOf(example)).toEqual(toolRulesOf(usual));
    expect({ ...example, data_dir: usual.data_dir, mcp_server: usual.mcp_server }).toEqual(usual);
  });

  it('config/policy.example.yaml parses, and its people may do what its comments say', async () => {
    const policy = parsePolicy(
      await readFile(join(projectRoot, 'config/policy.example.yaml'), 'utf8'),
      'policy.example.yaml',
    );
    expect(policy.permissionsOf({ userId: 'alex' })).toEqual([
      'read:metrics',
      'read:live_data',
      'read:topology',
      'read:events',
      'read:health',
    ]);
    expect(policy.decide({ userId: 'sam' }, 'read:live_data')).toMatchObject({ allowed: false, rule: 'default deny' });
    expect(policy.permissionsOf({ userId: 'riley' })).toEqual(['read:audit', 'manage:leases']);
    expect(policy.owns({ userId: 'jordan' }, 'group:payments')).toBe(true);
  });

  it('docs/admin/colony-config.md names every key', async () => {
    const page = await readFile(join(projectRoot, 'docs/admin/colony-config.md'), 'utf8');
    const walk = (value: object, path: string): string[] =>
      Object.entries(value).flatMap(([key, inner]: [string, unknown]) => {
        const here = path === '' ? key : `${path}.${key}`;
        const isMap = typeof inner === 'object' && inner !== null && !Array.isArray(inner) && !('port' in inner);
        return isMap && here !== 'mcp_server.rbac' ? walk(inner, here) : [here];
      });
    const missing = walk(parse(''), '').filter((key) => !page.includes(`\`${key}\``));
    expect(missing).toEqual([]);
  });
});

describe('loadColonyConfig', () => {
  it('reads the file, and names one that is not there', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'coral-colony-'));
    try {
      await writeFile(join(folder, 'colony.yaml'), 'colony: { id: my-shop }\n');
      const config = await loadColonyConfig(join(folder, 'colony.yaml'), env);
      expect(config).toMatchObject({ colony: { id: 'my-shop' }, policy_file: join(folder, 'policy.yaml') });
      await expect(loadColonyConfig(join(folder, 'gone.yaml'), env)).rejects.toMatchObject({
        reason: 'config_missing',
      });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
