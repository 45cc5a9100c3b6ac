import { dirname, isAbsolute, join, resolve } from 'node:path';
import { byteSizeField, deepFreeze, durationField, parseYaml, readConfigText } from '@coral/config';
import { CoralError } from '@coral/errors';
import { formatDuration, parseDuration, permissions, type Duration, type Permission } from '@coral/model';
import type { ToolRules } from '@coral/tool-path';
import { toolNames, type ToolName } from '@coral/tools';
import { z } from 'zod';
import { AddressPlan } from './mesh/address-plan.js';

const day = 86_400_000;
const minute = 60_000;

/** RFD 028: a lease never lives longer, whatever the file says. */
export const longestTtl = 15 * minute;
const usualTtl = parseDuration('5m');

/** What a tool asks for when `mcp_server.rbac` does not name it. */
const obviousPermission: Readonly<Record<ToolName, Permission>> = {
  coral_query: 'read:metrics',
  coral_fetch_live: 'read:live_data',
  coral_get_topology: 'read:topology',
  coral_query_events: 'read:events',
  coral_get_health: 'read:health',
};

/** The tools whose arguments name an agent: only there can "whose agent is it?" be asked. */
const toolsOnOneAgent: readonly ToolName[] = ['coral_fetch_live'];

const modelMoved =
  'a colony runs no model and holds no model key; move this block to ~/.coral/config.yaml on each laptop (docs/migration-rfd-014.md)';
const modelBlock = z.never(modelMoved).optional();

export interface Endpoint {
  /** Without brackets, also for IPv6. */
  host: string;
  port: number;
}

/** `host:port` or `[ipv6]:port`; port 0 lets the system choose. */
function endpointField(): z.ZodType<Endpoint, string> {
  const wanted = 'expected host:port, for example 127.0.0.1:41820, or [::1]:41820';
  return z.string({ error: wanted }).transform((text, ctx) => {
    const parts = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/[\]]+)):(\d{1,5})$/.exec(text);
    const host = parts?.[1] ?? parts?.[2];
    const port = Number(parts?.[3]);
    if (host !== undefined && port <= 65_535) return { host, port };
    ctx.addIssue({ code: 'custom', message: wanted });
    return z.NEVER;
  });
}

function pathField(): z.ZodType<string, string> {
  return z
    .string({ error: 'expected a path' })
    .min(1, 'expected a path, got empty text')
    .refine((path) => !path.startsWith('~'), 'only a shell knows "~"; write the whole path');
}

/** Both ranges are judged by the address plan itself, one at a time so that the line is right. */
function rangeField(planWith: (range: string) => AddressPlan): z.ZodType<string, string> {
  return z.string().superRefine((range, ctx) => {
    try {
      planWith(range);
    } catch (thrown) {
      if (!(thrown instanceof CoralError)) throw thrown;
      ctx.addIssue({ code: 'custom', message: thrown.message, params: { reason: thrown.reason, next: thrown.next } });
    }
  });
}

const anyLoopbackPort: Endpoint = { host: '127.0.0.1', port: 0 };
const usualV4 = '10.137.0.0/16';
const usualV6 = 'fd42:c0a1::/48';

/** Rows of the audit cannot be switched off one by one: an answer leaves only after its row is on disk. */
function auditSwitch(key: string): z.ZodType<boolean, boolean> {
  return z.boolean().refine((on) => on, {
    message: `cannot be false: the audit row is written before the answer leaves, so without a row there is no answer`,
    params: { reason: 'audit_always_on', next: `Remove ${key} or set it to true.` },
  });
}

/** An address of the web up to its port: `https://host` or `https://host:port`. */
function originField(schemes: readonly string[]): z.ZodType<string, string> {
  const wanted = `expected ${schemes.map((scheme) => `${scheme}//host`).join(' or ')}, with a port if it is not the usual one, and nothing behind it`;
  return z.string({ error: wanted }).transform((text, ctx) => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    // What else a URL can hold (user, path, query, "*") would be ignored in silence.
    if (url !== undefined && schemes.includes(url.protocol) && `${url.origin}/` === url.href && url.host !== '*') {
      return url.origin;
    }
    ctx.addIssue({ code: 'custom', message: wanted });
    return z.NEVER;
  });
}

const tool = z.enum(toolNames);

const toolRule = z.strictObject({
  required_permission: z.enum(permissions).optional(),
  additional_check: z.enum(['agent_owner_match']).optional(),
});

const mcpServer = z
  .strictObject({
    enabled: z.boolean().prefault(true),
    public: z.boolean().prefault(false),
    public_url: originField(['https:']).optional(),
    allowed_origins: z
      .array(originField(['https:', 'http:']))
      .max(50, 'more than 50')
      .prefault([]),
    tools: z
      .array(tool)
      .min(1, 'empty; to offer no tool at all, set mcp_server.enabled: false')
      .refine((list) => new Set(list).size === list.length, 'a tool stands here twice')
      .prefault([...toolNames]),
    rbac: z.partialRecord(tool, toolRule).prefault({}),
    data_filtering: z
      .strictObject({
        redact_fields: z
          .array(
            z
              .string()
              .regex(
                /^([\w*-]+\.)*[_-]*[A-Za-z0-9][\w-]*$/,
                'expected names joined by dots, the last one a word, for example "*.password"',
              )
              .max(256, 'longer than 256 characters'),
          )
          .max(200, 'more than 200 patterns')
          .prefault(['*.password', '*.api_key', '*.secret']),
        max_response_size: byteSizeField({ min: 4_096, max: 16_000_000 }).prefault('1MB'),
      })
      .prefault({}),
  })
  .superRefine(({ rbac, public: isPublic, public_url: publicUrl }, ctx) => {
    if (publicUrl !== undefined && !isPublic) {
      const message = 'has no meaning while mcp_server.public is false';
      ctx.addIssue({ code: 'custom', path: ['public_url'], message });
    }
    for (const name of toolNames) {
      if (rbac[name]?.additional_check === undefined || toolsOnOneAgent.includes(name)) continue;
      const message = `${name} does not ask one agent, so nothing can match; only ${toolsOnOneAgent.join(', ')} does`;
      ctx.addIssue({ code: 'custom', path: ['rbac', name, 'additional_check'], message });
    }
  });

const ephemeralAgents = z
  .strictObject({
    enabled: z.boolean().prefault(true),
    default_ttl: durationField({ min: 1_000, max: longestTtl }).optional(),
    max_ttl: durationField({ min: 1_000, max: longestTtl }).prefault('15m'),
    max_concurrent_per_user: z.int('expected a whole number').min(1, 'at least 1').max(100, 'at most 100').prefault(3),
    max_public_per_user: z.int('expected a whole number').min(1, 'at least 1').max(100, 'at most 100').prefault(3),
  })
  .transform(({ default_ttl: given, ...rest }, ctx) => {
    if (given !== undefined && given > rest.max_ttl) {
      const message = `${formatDuration(given)} is longer than max_ttl, ${formatDuration(rest.max_ttl)}`;
      ctx.addIssue({ code: 'custom', path: ['default_ttl'], message });
    }
    return { ...rest, default_ttl: given ?? (Math.min(usualTtl, rest.max_ttl) as Duration) };
  });

/** docs/admin/colony-config.md explains each key. */
export const colonyConfigSchema = z
  .strictObject({
    colony: z
      .strictObject({
        id: z
          .string()
          .regex(/^[A-Za-z0-9][\w.-]{0,62}$/, 'expected letters, digits, ".", "_" and "-", at most 63')
          .prefault('coral'),
      })
      .prefault({}),
    environment: z.enum(['development', 'production']).prefault('development'),
    data_dir: pathField().optional(),
    listen: endpointField().prefault('127.0.0.1:41820'),
    ops_listen: endpointField().prefault('127.0.0.1:9464'),
    mesh: z
      .strictObject({
        driver: z.enum(['userspace', 'direct'], 'expected userspace, or direct for development').prefault('userspace'),
        listen: endpointField().optional(),
        endpoint: endpointField()
          .refine(({ host }) => !isAnyAddress(host), 'is no address that anybody could be told')
          .optional(),
        ipv4: rangeField((range) => new AddressPlan(range, usualV6)).prefault(usualV4),
        ipv6: rangeField((range) => new AddressPlan(usualV4, range)).prefault(usualV6),
      })
      .transform((mesh, ctx) => {
        if (mesh.driver === 'direct' && mesh.listen !== undefined && !isLoopback(mesh.listen.host)) {
          const message = 'the mesh driver direct stays on this machine; use 127.0.0.1';
          ctx.addIssue({ code: 'custom', path: ['listen'], message });
        }
        if (mesh.driver === 'direct' && mesh.endpoint !== undefined) {
          const message = 'has no meaning with the mesh driver direct';
          ctx.addIssue({ code: 'custom', path: ['endpoint'], message });
        }
        return mesh;
      })
      .prefault({}),
    policy_file: pathField().prefault('policy.yaml'),
    mcp_server: mcpServer.prefault({}),
    ephemeral_agents: ephemeralAgents.prefault({}),
    audit: z
      .strictObject({
        log_ephemeral_access: auditSwitch('audit.log_ephemeral_access').prefault(true),
        log_mcp_tool_calls: auditSwitch('audit.log_mcp_tool_calls').prefault(true),
        store_transcripts: z.boolean().prefault(false),
      })
      .prefault({}),
    telemetry: z
      .strictObject({
        retention: durationField({ min: 60 * minute, max: 400 * day }).prefault('30d'),
        staleness: durationField({ min: 1_000, max: 60 * minute }).prefault('60s'),
      })
      .prefault({}),
    health: z
      .strictObject({
        recent_window: durationField({ min: 10_000, max: 60 * minute }).prefault('60s'),
        reference_window: durationField({ min: minute, max: day }).prefault('10m'),
      })
      .prefault({})
      .refine((health) => health.recent_window <= health.reference_window, {
        path: ['recent_window'],
        message: 'must not be longer than reference_window',
      }),
    tools: z.strictObject({ deadline: durationField({ min: 100, max: 5 * minute }).prefault('10s') }).prefault({}),
    ai: modelBlock,
    llm: modelBlock,
    genkit: modelBlock,
  })
  .refine(({ listen, mcp_server: mcp }) => !mcp.public || mcp.public_url !== undefined || !isAnyAddress(listen.host), {
    path: ['mcp_server', 'public_url'],
    message: 'is needed: `listen` is no address that a client could be told',
  })
  .refine((config) => config.environment !== 'production' || config.mesh.driver !== 'direct', {
    path: ['environment'],
    message: 'production needs a mesh between machines; the driver direct is for development on one machine',
    params: { reason: 'direct_driver_forbidden', next: 'Remove mesh.driver, or set environment: development.' },
  });

type Written = z.output<typeof colonyConfigSchema>;

/** colony.yaml, checked, with every default; paths are absolute. Frozen. */
export interface ColonyConfig extends Omit<Written, 'data_dir' | 'mesh' | 'ai' | 'llm' | 'genkit'> {
  data_dir: string;
  mesh: Written['mesh'] & { listen: Endpoint };
}

/** Reads colony.yaml once, at start. `env` is asked for `CORAL_HOME` and `HOME` only, and only without `data_dir`. */
export async function loadColonyConfig(file: string, env: NodeJS.ProcessEnv): Promise<ColonyConfig> {
  return parseColonyConfig(await readConfigText(file), file, env);
}

/** Relative paths start at the folder of `file`. */
export function parseColonyConfig(text: string, file: string, env: NodeJS.ProcessEnv): ColonyConfig {
  const { ai: _ai, llm: _llm, genkit: _genkit, ...written } = parseYaml(text, file, colonyConfigSchema);
  const folder = dirname(resolve(file));
  const { mesh } = written;
  return deepFreeze({
    ...written,
    // One address for both: what is TCP there is TLS, what is UDP is WireGuard.
    mesh: { ...mesh, listen: mesh.listen ?? (mesh.driver === 'direct' ? anyLoopbackPort : written.listen) },
    data_dir: written.data_dir === undefined ? defaultDataDirectory(file, env) : resolve(folder, written.data_dir),
    policy_file: resolve(folder, written.policy_file),
  });
}

function defaultDataDirectory(file: string, env: NodeJS.ProcessEnv): string {
  const coralHome = env['CORAL_HOME'] || (env['HOME'] ? join(env['HOME'], '.coral') : '');
  if (isAbsolute(coralHome)) return join(coralHome, 'colony');
  throw new CoralError({
    kind: 'failed_precondition',
    reason: 'data_dir_unknown',
    where: file,
    message: `${file}: data_dir is not set, and neither CORAL_HOME nor HOME is an absolute path to put it in.`,
    next: `Add data_dir: /var/lib/coral to ${file}, or set CORAL_HOME.`,
  });
}

/** Listens on every address of the machine, and is the name of none. */
export function isAnyAddress(host: string): boolean {
  return host === '0.0.0.0' || /^[0:]+$/.test(host);
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

/** What colony.yaml says about tools, in the words of the tool path. */
export function toolRulesOf(config: ColonyConfig): ToolRules {
  const { enabled, tools, rbac, data_filtering: filtering } = config.mcp_server;
  const required = (name: ToolName): ToolRules['required'][ToolName] => {
    const rule = rbac[name];
    const permission = rule?.required_permission ?? obviousPermission[name];
    return rule?.additional_check === undefined
      ? { permission }
      : { permission, additionalCheck: rule.additional_check };
  };
  return {
    enabled: enabled ? tools : [],
    required: {
      coral_query: required('coral_query'),
      coral_fetch_live: required('coral_fetch_live'),
      coral_get_topology: required('coral_get_topology'),
      coral_query_events: required('coral_query_events'),
      coral_get_health: required('coral_get_health'),
    },
    redactFields: filtering.redact_fields,
    maxResponseBytes: filtering.max_response_size,
    deadlineMs: config.tools.deadline,
  };
}
