import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
        driver: 'userspace',
        listen: { host: '127.0.0.1', port: 41_820 },
        ipv4: '10.137.0.0/16',
        ipv6: 'fd42:c0a1::/48',
      },
      policy_file: '/etc/coral/policy.yaml',
      mcp_server: {
        enabled: true,
        public: false,
        allowed_origins: [],
        tools: toolNames,
        rbac: {},
        data_filtering: { redact_fields: ['*.password', '*.api_key', '*.secret'], max_response_size: 1_000_000 },
      },
      ephemeral_agents: {
        enabled: true,
        default_ttl: 300_000,
        max_ttl: 900_000,
        max_concurrent_per_user: 3,
        max_public_per_user: 3,
      },
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

  it('takes the address of a public door, and the web pages that may call, as browsers write them', () => {
    const text = `mcp_server:
  public: true
  public_url: "HTTPS://Coral.Example.com:443/"
  allowed_origins: ["https://console.example.com", "http://localhost:6274"]`;
    expect(parse(text).mcp_server).toMatchObject({
      public: true,
      public_url: 'https://coral.example.com',
      allowed_origins: ['https://console.example.com', 'http://localhost:6274'],
    });
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
