import { randomUUID } from 'node:crypto';
import { credentials } from '@grpc/grpc-js';
import { Client } from '@modelcontextprotocol/client';
import { CoralError } from '@coral/errors';
import { colonyV1, grpcClientOptions } from '@coral/rpc';
import { isToolName, type ToolDefinition, type ToolEnvelope, type ToolErrorBody } from '@coral/tools';
import { defaultCallPolicy, type CallPolicy } from './call-policy.js';
import { ExchangeTransport, idempotencyHeader } from './exchange-transport.js';
import { toCallError } from './mcp-errors.js';

/** The revision spoken here; a colony that does not know it is refused, never talked down to. */
export const mcpRevision = '2026-07-28';

export interface McpConnectionOptions {
  /** A gRPC target whose far end is the colony's McpService through the mesh. */
  channel: { readonly target: string };
  /** Access token of the lease. */
  token: string;
  /** Shown in the colony's audit as a claim; default `coral`. */
  client?: { name: string; version: string };
  policy?: Partial<CallPolicy>;
  signal?: AbortSignal;
}

/** What one tool said. `text` is the JSON as it came, `bytes` its length in UTF-8, `result` all of it in MCP's words. */
export type McpAnswer = { text: string; bytes: number; result: object } & (
  | { isError: false; envelope: ToolEnvelope }
  | { isError: true; error: ToolErrorBody['error'] }
);

export interface ToolsResult {
  tools: { name: string; description?: string | undefined; inputSchema: Record<string, unknown> }[];
}

export interface CallOptions {
  signal?: AbortSignal;
  /** Default: a fresh one. Give the same to repeat a call whose answer was lost. */
  idempotencyKey?: string;
}

/** Tools of one colony under one lease. Every method rejects with CoralError only. */
export interface McpConnection {
  /** The tools this caller may use. */
  listTools(options?: { signal?: AbortSignal }): Promise<ToolDefinition[]>;
  /** The result of tools/list as it came, tools included that this version does not know. */
  toolsResult(options?: { signal?: AbortSignal }): Promise<ToolsResult>;
  callTool(name: string, args: Record<string, unknown>, options?: CallOptions): Promise<McpAnswer>;
  /** Cancels what is in flight. Closing twice is fine. */
  close(): Promise<void>;
}

/** Opens the tools behind a channel: one `server/discover` goes over the wire, so a bad token fails here. */
export async function connectMcp(options: McpConnectionOptions): Promise<McpConnection> {
  const policy: CallPolicy = { ...defaultCallPolicy, ...options.policy };
  const stub = new colonyV1.McpServiceClient(options.channel.target, credentials.createInsecure(), {
    ...grpcClientOptions,
    // The pauses between attempts are ours to choose; grpc-js would add its own.
    'grpc.initial_reconnect_backoff_ms': policy.firstDelayMs,
    'grpc.max_reconnect_backoff_ms': policy.maxDelayMs,
  });
  const client = new Client(options.client ?? { name: 'coral', version: '0' }, {
    versionNegotiation: { mode: { pin: mcpRevision } },
  });
  const requestOptions = (signal: AbortSignal | undefined) => ({
    // Our own deadline is the first to strike; this one is only the net below it.
    timeout: policy.deadlineMs + 5_000,
    ...(signal ? { signal } : {}),
  });
  const guarded = async <T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (thrown) {
      throw toCallError(thrown, signal);
    }
  };
  const close = async () => {
    await client.close();
    stub.close();
  };

  try {
    await guarded(options.signal, () =>
      client.connect(new ExchangeTransport(stub, options.token, policy), requestOptions(options.signal)),
    );
  } catch (thrown) {
    await close();
    throw thrown;
  }

  return {
    listTools: ({ signal } = {}) =>
      guarded(signal, async () => {
        const { tools } = await client.listTools(undefined, requestOptions(signal));
        return tools.flatMap(({ name, description, inputSchema, outputSchema }) => {
          if (!isToolName(name)) return [];
          return [{ name, description: description ?? '', inputSchema, ...(outputSchema && { outputSchema }) }];
        });
      }),
    toolsResult: ({ signal } = {}) => guarded(signal, () => client.listTools(undefined, requestOptions(signal))),
    callTool: (name, args, { signal, idempotencyKey } = {}) =>
      guarded(signal, async () => {
        const result = await client.callTool(
          { name, arguments: args },
          { ...requestOptions(signal), headers: { [idempotencyHeader]: idempotencyKey ?? randomUUID() } },
        );
        return readAnswer(name, result);
      }),
    close,
  };
}

interface ToolResult {
  isError?: boolean | undefined;
  structuredContent?: unknown;
  content?: readonly { type: string; text?: unknown }[];
}

function readAnswer(tool: string, result: ToolResult): McpAnswer {
  const told = result.content?.find((part) => part.type === 'text')?.text;
  const text = typeof told === 'string' ? told : JSON.stringify(result.structuredContent ?? null);
  const body = result.structuredContent ?? parseJson(text);
  const bytes = Buffer.byteLength(text);
  if (result.isError && isErrorBody(body)) return { isError: true, error: body.error, text, bytes, result };
  if (!result.isError && isEnvelope(body)) return { isError: false, envelope: body, text, bytes, result };
  throw new CoralError({
    kind: 'internal',
    reason: 'bad_tool_answer',
    where: tool,
    message: `The answer of ${tool} is not in the form this version of coral understands.`,
    next: 'Compare the versions of coral and of the colony.',
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // Not JSON: the caller refuses it as a bad answer.
  }
}

function isErrorBody(body: unknown): body is ToolErrorBody {
  const error = (body as Partial<ToolErrorBody> | null | undefined)?.error;
  return typeof error?.reason === 'string' && typeof error.kind === 'string' && typeof error.message === 'string';
}

function isEnvelope(body: unknown): body is ToolEnvelope {
  const envelope = body as Partial<ToolEnvelope> | null | undefined;
  return (
    typeof envelope?.data === 'object' &&
    envelope.data !== null &&
    typeof envelope.status === 'string' &&
    Array.isArray(envelope.coverage?.answered) &&
    Array.isArray(envelope.coverage.silent) &&
    Array.isArray(envelope.notes)
  );
}
