import { byteSizeField, durationField, loadYamlFile, parseYaml, secretField } from '@coral/config';
import { parseDuration } from '@coral/model';
import { z } from 'zod';

const listenField = (fallback: string) =>
  z
    .string()
    .default(fallback)
    .transform((text, context) => {
      const found = /^(\[[^\]]+\]|[^:]+):(\d{1,5})$/.exec(text);
      const port = Number(found?.[2]);
      if (found?.[1] === undefined || port > 65_535) {
        context.addIssue({ code: 'custom', message: 'expected host:port, for example 127.0.0.1:4317' });
        return z.NEVER;
      }
      return { host: found[1].replace(/^\[|\]$/g, ''), port };
    });

const duration = (fallback: string, min: string, max: string) =>
  durationField({ min: parseDuration(min), max: parseDuration(max) }).prefault(fallback);

const bytes = (fallback: string, min: number) => byteSizeField({ min }).prefault(fallback);

const count = (fallback: number) => z.int().min(1).max(100_000).default(fallback);

const mebibyte = 1_048_576;

/** config/agent.example.yaml explains each key. */
export const agentConfigSchema = z.strictObject({
  name: z.string().min(1).max(100),
  data_dir: z.string().min(1),
  environment: z.enum(['production', 'development']).default('production'),
  colony: z.strictObject({
    endpoint: z.string().regex(/^[^\s/]+:\d{1,5}$/, 'expected host:port, for example colony.example.com:41820'),
    ca_fingerprint: z.string().regex(/^sha256:[0-9a-f]{64}$/i, 'expected sha256: and 64 hexadecimal digits'),
  }),
  join_token: secretField().optional(),
  join_token_file: z.string().min(1).optional(),
  otlp: z
    .strictObject({
      grpc: z.strictObject({ listen: listenField('127.0.0.1:4317') }).prefault({}),
      http: z.strictObject({ listen: listenField('127.0.0.1:4318') }).prefault({}),
    })
    .prefault({}),
  ops: z.strictObject({ listen: listenField('127.0.0.1:9466') }).prefault({}),
  mesh: z.strictObject({ listen: listenField('127.0.0.1:0') }).prefault({}),
  summaries: z
    .strictObject({ interval: duration('10s', '1s', '5m'), window: duration('10s', '1s', '5m') })
    .prefault({}),
  retention: z
    .strictObject({
      hot_window: duration('10m', '10s', '6h'),
      file_length: duration('10m', '1s', '6h'),
      max_age: duration('2h', '1m', '7d'),
      max_bytes: bytes('2GiB', mebibyte),
    })
    .prefault({})
    .refine((kept) => kept.max_age >= kept.hot_window, {
      path: ['max_age'],
      message: 'must not be shorter than hot_window',
    }),
  limits: z
    .strictObject({
      max_body: bytes('16MiB', 1_024),
      max_in_flight: bytes('64MiB', 1_024),
      max_attributes: count(128),
      max_attribute_value: bytes('4KiB', 16),
      max_events: count(64),
      min_free_disk: bytes('64MiB', 0),
      max_outbox: bytes('256MiB', 1_024),
      max_services: count(200),
      max_routes_per_service: count(200),
      max_links: count(500),
      database_memory: bytes('256MiB', 64 * mebibyte),
    })
    .prefault({})
    .refine((limits) => limits.max_in_flight >= limits.max_body, {
      path: ['max_in_flight'],
      message: 'must not be less than max_body',
    }),
});

export type AgentConfig = z.infer<typeof agentConfigSchema>;
export type Limits = AgentConfig['limits'];
export type Retention = AgentConfig['retention'];

export function parseAgentConfig(text: string, file: string): AgentConfig {
  return parseYaml(text, file, agentConfigSchema);
}

export function loadAgentConfig(file: string): Promise<AgentConfig> {
  return loadYamlFile(file, agentConfigSchema);
}
