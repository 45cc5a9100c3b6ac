import { toolDefinitions } from '@coral/tools';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { McpAdapter, UnknownTool, protocolError } from './mcp-adapter.js';
import type { McpCalls, McpFrame } from './mcp-adapter.js';

const meta = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {},
  'io.modelcontextprotocol/clientInfo': { name: 'spec', version: '1' },
};

function request(method: string, params: Record<string, unknown> = {}): Record<string, unknown> {
  return { jsonrpc: '2.0', id: 7, method, params: { ...params, _meta: meta } };
}

describe('McpAdapter', () => {
  let adapter: McpAdapter;
  const never = new AbortController().signal;
  const calls: McpCalls = {
    listTools: async () => toolDefinitions.slice(0, 2),
    callTool: async (name, args, clientInfo) => {
      if (name === 'nothing') throw new UnknownTool('there is no tool nothing');
      const body = { name, args, clientInfo };
      return { isError: name === 'coral_fetch_live', body, text: JSON.stringify(body) };
    },
  };

  async function answer(message: Record<string, unknown>, by: McpCalls = calls): Promise<Record<string, unknown>> {
    const frames: McpFrame[] = [];
    for await (const frame of adapter.exchange(message, by, never)) frames.push(frame);
    expect(frames).toHaveLength(1);
    return JSON.parse((frames[0] as McpFrame).json.toString()) as Record<string, unknown>;
  }

  beforeEach(() => {
    adapter = new McpAdapter({ id: 'shop', version: '1.2.3' });
  });
  afterEach(() => adapter.close());

  it('discovers itself', async () => {
    const { id, result } = await answer(request('server/discover'));
    expect(id).toBe(7);
    expect(result).toMatchObject({
      resultType: 'complete',
      supportedVersions: ['2026-07-28'],
      capabilities: { tools: {} },
      cacheScope: 'private',
    });
  });

  it('lists the tools it is given, in their order, privately', async () => {
    const { result } = await answer(request('tools/list'));
    expect(result).toMatchObject({
      cacheScope: 'private',
      tools: toolDefinitions
        .slice(0, 2)
        .map(({ name, description, inputSchema }) => ({ name, description, inputSchema })),
    });
  });

  it('calls a tool and gives its body as structured content and as the same text', async () => {
    const { result } = await answer(request('tools/call', { name: 'coral_query', arguments: { query: 'x' } }));
    const body = { name: 'coral_query', args: { query: 'x' }, clientInfo: 'spec/1' };
    expect(result).toMatchObject({
      isError: false,
      structuredContent: body,
      content: [{ type: 'text', text: JSON.stringify(body) }],
    });
  });

  it('marks the answers that the model should mend', async () => {
    const { result } = await answer(request('tools/call', { name: 'coral_fetch_live', arguments: {} }));
    expect(result).toMatchObject({ isError: true });
  });

  it('says an unknown tool as a protocol error', async () => {
    const { error } = await answer(request('tools/call', { name: 'nothing', arguments: {} }));
    expect(error).toMatchObject({ code: -32_602, message: expect.stringContaining('no tool nothing') });
  });

  it('carries a name that fits no header', async () => {
    const { error } = await answer(request('tools/call', { name: 'nämlich\n=?', arguments: {} }), {
      ...calls,
      callTool: async (name) => Promise.reject(new UnknownTool(`there is no tool ${JSON.stringify(name)}`)),
    });
    expect(error).toMatchObject({ code: -32_602, message: expect.stringContaining('nämlich') });
  });

  it.each([
    ['an unknown method', request('tools/destroy'), -32_601],
    ['a method that fits no header', request('tools/\n'), -32_020],
    ['no revision', { jsonrpc: '2.0', id: 7, method: 'tools/list', params: {} }, -32_022],
    [
      'another revision',
      {
        ...request('tools/list'),
        params: { _meta: { ...meta, 'io.modelcontextprotocol/protocolVersion': '2031-01-01' } },
      },
      -32_022,
    ],
    ['no method', { jsonrpc: '2.0', id: 7 }, -32_600],
    ['no version of JSON-RPC', { id: 7, method: 'tools/list', params: { _meta: meta } }, -32_600],
    ['a tool call without a name', request('tools/call', { arguments: {} }), -32_602],
    ['arguments that are no object', request('tools/call', { name: 'coral_query', arguments: 'x' }), -32_602],
  ])('answers %s with a JSON-RPC error', async (_name, message, code) => {
    const { error } = await answer(message);
    expect(error).toMatchObject({ code });
  });

  it('hands failures of the path to the door, in the words they had', async () => {
    const gone = new Error('the lease is over');
    const failing: McpCalls = { listTools: () => Promise.reject(gone), callTool: () => Promise.reject(gone) };
    for (const message of [request('tools/list'), request('tools/call', { name: 'coral_query', arguments: {} })]) {
      await expect(answer(message, failing)).rejects.toBe(gone);
    }
  });

  it('answers a notification with nothing', async () => {
    const frames = adapter.exchange(
      { jsonrpc: '2.0', method: 'notifications/x', params: { _meta: meta } },
      calls,
      never,
    );
    expect(await frames.next()).toEqual({ value: undefined, done: true });
  });

  it('keeps callers apart while their calls interleave', async () => {
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => {
        const mine: McpCalls = {
          listTools: async () => [],
          callTool: async () => {
            await new Promise((resolve) => setImmediate(resolve));
            return { isError: false, body: { canary: i }, text: `${i}` };
          },
        };
        return answer(request('tools/call', { name: 'coral_query', arguments: {} }), mine);
      }),
    );
    answers.forEach(({ result }, i) => expect(result).toMatchObject({ structuredContent: { canary: i } }));
  });

  it('says its own errors in the form of the protocol', () => {
    expect(JSON.parse(protocolError('parse_error', 'no', { a: 1 }).json.toString())).toEqual({
      jsonrpc: '2.0',
      id: null,
      error: { code: -32_700, message: 'no' },
    });
    expect(JSON.parse(protocolError('invalid_request', 'no', 3).json.toString())).toMatchObject({
      id: 3,
      error: { code: -32_600 },
    });
  });
});
