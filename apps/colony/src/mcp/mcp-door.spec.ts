import { CoralError } from '@coral/errors';
import type { KeyId } from '@coral/model';
import type { MalformedRequest, ToolPath, ToolRequest } from '@coral/tool-path';
import { toolDefinitions } from '@coral/tools';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { McpAdapter } from './mcp-adapter.js';
import { McpDoor } from './mcp-door.js';
import type { DoorCaller } from './mcp-door.js';

const meta = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {},
};
const bytesOf = (method: string, params: object = {}): Buffer =>
  Buffer.from(JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: { ...params, _meta: meta } }));
const error = (kind: 'unauthenticated' | 'unavailable' | 'not_found', reason: string): CoralError =>
  new CoralError({ kind, reason, message: reason });

describe('McpDoor', () => {
  let adapter: McpAdapter;
  let door: McpDoor;
  let called: ToolRequest[];
  let refused: [MalformedRequest, CoralError][];
  let failure: CoralError | undefined;

  beforeEach(() => {
    [called, refused, failure] = [[], [], undefined];
    adapter = new McpAdapter({ id: 'spec', version: '1' });
    const path: Pick<ToolPath, 'call' | 'refuse' | 'visibleTools'> = {
      call: async (request) => {
        called.push(request);
        if (failure !== undefined) throw failure;
        return { isError: true, body: { error: { kind: 'x', reason: 'y', message: 'z' } }, text: '{}' };
      },
      refuse: async (request, problem) => {
        if (failure !== undefined) throw failure;
        refused.push([request, problem]);
      },
      visibleTools: async ({ token }) => {
        if (token !== 'good') throw error('unauthenticated', 'token_missing');
        return [...toolDefinitions];
      },
    };
    door = new McpDoor(adapter, path);
  });
  afterEach(() => adapter.close());

  const caller: DoorCaller = {
    token: 'good',
    peer: 'key' as KeyId,
    audience: 'mesh',
    door: 'grpc',
    remoteAddress: '10.137.128.0',
    idempotencyKey: 'once',
  };

  async function frames(bytes: Buffer, by: DoorCaller = caller): Promise<unknown[]> {
    const all: unknown[] = [];
    for await (const json of door.exchange(bytes, by, new AbortController().signal))
      all.push(JSON.parse(json.toString()));
    return all;
  }

  it('hands a tool call to the path with all that is known of it', async () => {
    await frames(bytesOf('tools/call', { name: 'coral_query', arguments: { query: 'x' } }));
    expect(called).toMatchObject([{ ...caller, name: 'coral_query', args: { query: 'x' } }]);
    expect(refused).toEqual([]);
  });

  it.each([
    ['discovery', bytesOf('server/discover')],
    ['a broken message', Buffer.from('{')],
    ['a tool call without a name', bytesOf('tools/call')],
    ['an unknown method', bytesOf('x')],
  ])('tells a stranger nothing about %s', async (_name, bytes) => {
    const told: unknown[] = [];
    const exchange = async (): Promise<void> => {
      for await (const json of door.exchange(bytes, { ...caller, token: undefined }, new AbortController().signal)) {
        told.push(json);
      }
    };
    await expect(exchange()).rejects.toMatchObject({ kind: 'unauthenticated' });
    expect([told, called, refused]).toEqual([[], [], []]);
  });

  it('lets no error frame out when its row cannot be written', async () => {
    failure = error('unavailable', 'audit_unavailable');
    for (const bytes of [Buffer.from('{'), bytesOf('x'), bytesOf('tools/call')]) {
      await expect(frames(bytes)).rejects.toBe(failure);
    }
  });

  it('passes what only the transport can say, unchanged', async () => {
    for (failure of [error('unauthenticated', 'lease_expired'), error('unavailable', 'audit_unavailable')]) {
      await expect(frames(bytesOf('tools/call', { name: 'coral_query', arguments: {} }))).rejects.toBe(failure);
    }
  });

  it('says an unknown tool once, in the protocol, and leaves its row to the path', async () => {
    failure = error('not_found', 'unknown_tool');
    const [answer] = await frames(bytesOf('tools/call', { name: 'nothing', arguments: {} }));
    expect(answer).toMatchObject({
      error: { code: -32_602, data: { error: { kind: 'not_found', reason: 'unknown_tool' } } },
    });
    expect([called.length, refused.length]).toEqual([1, 0]);
  });

  it('names tool and arguments of a malformed call in its row', async () => {
    await frames(bytesOf('tools/call', { name: 'coral_query', arguments: 'not an object' }));
    expect(refused).toMatchObject([
      [
        { ...caller, name: 'coral_query', args: 'not an object' },
        { kind: 'invalid_argument', reason: 'malformed_json_rpc' },
      ],
    ]);
  });
});
