import { Metadata, Server, ServerCredentials, status, type ServerWritableStream } from '@grpc/grpc-js';
import { createMcpHandler, fromJsonSchema, McpServer } from '@modelcontextprotocol/server';
import { CoralError } from '@coral/errors';
import { colonyV1 } from '@coral/rpc';
import { toolDefinitions, type ToolEnvelope } from '@coral/tools';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connectMcp, type CallPolicy, type McpConnection } from './index.js';

type Stream = ServerWritableStream<colonyV1.ExchangeRequest, colonyV1.ExchangeResponse>;
type Trouble = (call: Stream, method: string, attempt: number) => boolean;

const envelope: ToolEnvelope = {
  data: { services: [] },
  status: 'ok',
  window: { from: '2026-11-21T10:00:00.000Z', to: '2026-11-21T11:00:00.000Z' },
  freshness: { newest: null, age_ms: null },
  coverage: { asked: 1, answered: ['agt-a'], late: [], silent: [], denied: [] },
  sampling: { factor: 1 },
  truncation: { truncated: false },
  notes: [],
};
const refusal = {
  error: { kind: 'permission_denied', reason: 'missing_permission', message: 'Needs read:live_data.', next: 'Ask.' },
};

/** A colony's door: real gRPC, real JSON-RPC by the MCP server SDK; `trouble` may take a call over before it gets there. */
class Door {
  readonly seen: { method: string; key: string; authorization: string }[] = [];
  trouble: Trouble = () => false;
  offersMore = false;
  onCancelled: () => void = () => undefined;
  private server = new Server();
  port = 0;

  private readonly handler = createMcpHandler(() => {
    const mcp = new McpServer({ name: 'door', version: '1' });
    for (const { name, description, inputSchema } of toolDefinitions) {
      mcp.registerTool(name, { description, inputSchema: fromJsonSchema(inputSchema) }, async (_args, context) => {
        if (name === 'coral_fetch_live') return answer(refusal, true);
        if (name === 'coral_get_topology') return answer({ nonsense: true }, false);
        if (name === 'coral_query_events') {
          await new Promise((resolve) => context.mcpReq.signal.addEventListener('abort', resolve));
          this.onCancelled();
        }
        return answer(envelope, false);
      });
    }
    if (this.offersMore) mcp.registerTool('coral_of_tomorrow', {}, async () => answer(envelope, false));
    return mcp;
  });

  async start(port = 0): Promise<void> {
    this.server = new Server();
    this.server.addService(colonyV1.McpServiceService, {
      exchange: (call: Stream) => void this.exchange(call).catch((thrown: unknown) => call.destroy(thrown as Error)),
    });
    this.port = await new Promise((resolve, reject) => {
      this.server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
  }

  stop(): void {
    this.server.forceShutdown();
  }

  private async exchange(call: Stream): Promise<void> {
    const message = JSON.parse(call.request.json.toString()) as { method: string; params?: { name?: string } };
    const text = (name: string) => String(call.metadata.get(name)[0] ?? '');
    this.seen.push({ method: message.method, key: text('idempotency-key'), authorization: text('authorization') });
    const attempt = this.seen.filter(({ method }) => method === message.method).length;
    if (this.trouble(call, message.method, attempt)) return;
    const gone = new AbortController();
    call.on('cancelled', () => gone.abort());
    const response = await this.handler.fetch(
      new Request('http://door/mcp', {
        method: 'POST',
        signal: gone.signal,
        headers: {
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          'mcp-protocol-version': '2026-07-28',
          'mcp-method': message.method,
          ...(message.params?.name ? { 'mcp-name': message.params.name } : {}),
        },
        body: call.request.json,
      }),
    );
    const body = await response.text();
    const json = body.startsWith('{') ? body : (/^data: (.*)$/m.exec(body)?.[1] ?? '{}');
    call.write({ json: Buffer.from(json) });
    call.end();
  }
}

function answer(body: object, isError: boolean) {
  return {
    isError,
    content: [{ type: 'text' as const, text: JSON.stringify(body) }],
    structuredContent: body as Record<string, unknown>,
  };
}

function refuse(call: Stream, code: status, details: string, error?: object): true {
  const metadata = new Metadata();
  if (error) metadata.set('coral-error-bin', Buffer.from(JSON.stringify(error)));
  call.emit('error', { code, details, metadata });
  return true;
}

/** Pauses cost no time but turn the hands of the clock. */
function patientPolicy(): { policy: Partial<CallPolicy>; pauses: number[] } {
  const pauses: number[] = [];
  let passed = 0;
  const clock = { now: () => Date.now() + passed, monotonic: () => passed };
  const sleep = async (ms: number) => {
    pauses.push(ms);
    passed += ms;
  };
  return { policy: { clock, sleep, random: () => 0.5 }, pauses };
}

describe('tools of a colony over gRPC', () => {
  const door = new Door();
  let open: McpConnection | undefined;

  const connect = async (policy?: Partial<CallPolicy>) => {
    open = await connectMcp({
      channel: { target: `127.0.0.1:${door.port}` },
      token: 'tkn',
      ...(policy ? { policy } : {}),
    });
    return open;
  };
  const failure = async (work: Promise<unknown>): Promise<CoralError> => {
    const thrown = await work.then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(thrown).toBeInstanceOf(CoralError);
    return thrown as CoralError;
  };

  beforeEach(async () => {
    door.seen.length = 0;
    door.trouble = () => false;
    door.offersMore = false;
    await door.start();
  });
  afterEach(async () => {
    await open?.close();
    open = undefined;
    door.stop();
  });

  it('lists the published tools and answers a call with its envelope', async () => {
    const tools = await connect();
    expect((await tools.listTools()).map(({ name }) => name)).toEqual(toolDefinitions.map(({ name }) => name));
    const answered = await tools.callTool('coral_get_health', {});
    expect(answered).toMatchObject({ isError: false, envelope });
    expect(answered.bytes).toBe(Buffer.byteLength(JSON.stringify(envelope)));
    expect(answered.result).toMatchObject({ isError: false, structuredContent: envelope, content: [{ type: 'text' }] });
    expect(new Set(door.seen.map(({ authorization }) => authorization))).toEqual(new Set(['Bearer tkn']));
    expect(door.seen.map(({ method }) => method)).not.toContain('initialize');
  });

  it('hands over the list as it came, with what this version does not know', async () => {
    const tools = await connect();
    door.offersMore = true;
    expect((await tools.toolsResult()).tools.map(({ name }) => name)).toContain('coral_of_tomorrow');
    expect((await tools.listTools()).map(({ name }) => name)).not.toContain('coral_of_tomorrow');
  });

  it('hands over what a tool refused, and rejects an answer of unknown form', async () => {
    const tools = await connect();
    const refused = await tools.callTool('coral_fetch_live', { agent_id: 'a', sql_query: 'SELECT 1' });
    expect(refused).toMatchObject({ isError: true, error: refusal.error });
    expect(await failure(tools.callTool('coral_get_topology', {}))).toMatchObject({ reason: 'bad_tool_answer' });
  });

  it('names an unknown tool as a bad request', async () => {
    const tools = await connect();
    const error = await failure(tools.callTool('coral_nothing', {}));
    expect(error).toMatchObject({ kind: 'invalid_argument', reason: 'mcp_refused' });
  });

  it('tries a broken connection again with the same idempotency key, and each call with its own', async () => {
    const { policy, pauses } = patientPolicy();
    const tools = await connect(policy);
    door.trouble = (call, method, attempt) =>
      method === 'tools/call' && attempt <= 2 && refuse(call, status.UNAVAILABLE, 'connection dropped');
    await tools.callTool('coral_get_health', {});
    await tools.callTool('coral_get_health', {});
    const keys = door.seen.filter(({ method }) => method === 'tools/call').map(({ key }) => key);
    expect(keys).toHaveLength(4);
    expect(new Set(keys.slice(0, 3)).size).toBe(1);
    expect(keys[3]).not.toBe(keys[0]);
    expect(pauses).toEqual([75, 150]);
  });

  it('survives a colony that restarts on its port', async () => {
    const tools = await connect();
    const { port } = door;
    door.stop();
    const answered = tools.callTool('coral_get_health', {});
    await door.start(port);
    expect((await answered).isError).toBe(false);
  });

  it('gives up on a colony that stays away, within the window and as unavailable', async () => {
    const { policy, pauses } = patientPolicy();
    const tools = await connect({ ...policy, retryWindowMs: 5_000 });
    door.trouble = (call) => refuse(call, status.UNAVAILABLE, 'connection dropped');
    const error = await failure(tools.callTool('coral_get_health', {}));
    expect(error).toMatchObject({ kind: 'unavailable', reason: 'colony_unreachable' });
    const total = pauses.reduce((sum, ms) => sum + ms, 0);
    expect(total).toBeLessThanOrEqual(5_000);
    expect(total).toBeGreaterThan(3_000);
  });

  it('never repeats what the colony itself refused', async () => {
    const { policy, pauses } = patientPolicy();
    const tools = await connect(policy);
    const told = {
      kind: 'unavailable',
      reason: 'audit_unavailable',
      message: 'The audit is not writable.',
      next: 'Call.',
    };
    door.trouble = (call) => refuse(call, status.UNAVAILABLE, told.message, told);
    expect(await failure(tools.callTool('coral_get_health', {}))).toMatchObject(told);
    expect(pauses).toEqual([]);
  });

  it('says at once that a token is not good', async () => {
    const told = { kind: 'unauthenticated', reason: 'token_expired', message: 'The token is over.' };
    door.trouble = (call) => refuse(call, status.UNAUTHENTICATED, told.message, told);
    expect(await failure(connect())).toMatchObject(told);
  });

  it('cancels the call at the colony when the caller goes away', async () => {
    const tools = await connect();
    const stopping = new AbortController();
    const cancelledThere = new Promise<void>((resolve) => {
      door.onCancelled = resolve;
    });
    door.trouble = (_call, method) => {
      if (method === 'tools/call') setImmediate(() => stopping.abort());
      return false;
    };
    const error = await failure(tools.callTool('coral_query_events', {}, { signal: stopping.signal }));
    expect(error.kind).toBe('cancelled');
    await cancelledThere;
  });

  it('ends a call at its deadline', async () => {
    const tools = await connect({ deadlineMs: 300 });
    const error = await failure(tools.callTool('coral_query_events', {}));
    expect(error.kind).toBe('deadline_exceeded');
  });
});
