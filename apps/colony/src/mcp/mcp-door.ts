import { CoralError } from '@coral/errors';
import type { MalformedRequest, Stranger, ToolPath, ToolRequest } from '@coral/tool-path';
import type { ToolDefinition } from '@coral/tools';
import { maxFrameBytes, maxFrameDepth, readFrame } from './json-frame.js';
import type { FrameProblem } from './json-frame.js';
import { protocolError, UnknownTool } from './mcp-adapter.js';
import type { McpAdapter, McpCalls } from './mcp-adapter.js';

/** Who is at the door, as far as the transport knows. */
export interface DoorCaller extends Stranger {
  idempotencyKey: string | undefined;
}

type Path = Pick<ToolPath, 'call' | 'refuse' | 'visibleTools'>;

const problems: Record<FrameProblem, { code: 'parse_error' | 'invalid_request'; message: string }> = {
  too_large: { code: 'invalid_request', message: `The message is larger than ${maxFrameBytes} bytes.` },
  too_deep: { code: 'invalid_request', message: `The message is nested deeper than ${maxFrameDepth} levels.` },
  not_json: { code: 'parse_error', message: 'The message is not JSON in UTF-8.' },
  not_an_object: {
    code: 'invalid_request',
    message: 'The message is not one JSON-RPC object; batches are not served.',
  },
};

/** Between a transport and the one tool path: who is not authenticated hears nothing else, and no attempt is without a row. */
export class McpDoor {
  private readonly adapter: McpAdapter;
  private readonly path: Path;

  constructor(adapter: McpAdapter, path: Path) {
    this.adapter = adapter;
    this.path = path;
  }

  /** JSON-RPC bytes in, JSON-RPC bytes out. Throws CoralError for what the transport itself must say, before any frame. */
  async *exchange(bytes: Uint8Array, caller: DoorCaller, signal: AbortSignal): AsyncGenerator<Buffer> {
    const frame = readFrame(bytes);
    if (frame.problem !== undefined) {
      const { code, message } = problems[frame.problem];
      await this.refuse(caller, `malformed_${frame.problem}`, message);
      yield protocolError(code, message).json;
      return;
    }
    const { message } = frame;
    // The tool path verifies the caller of a tool call itself, with the call's own row; for the rest it happens here.
    const tools = message['method'] === 'tools/call' ? undefined : await this.visibleTools(caller);
    let reachedPath = false;
    const calls: McpCalls = {
      listTools: async () => tools ?? (await this.visibleTools(caller)),
      callTool: async (name, args, clientInfo) => {
        reachedPath = true;
        return await this.call({ name, args, signal, ...known({ clientInfo }), ...requestOf(caller) });
      },
    };
    for await (const { json, error } of this.adapter.exchange(message, calls, signal)) {
      if (error !== undefined && !reachedPath) {
        await this.refuse(caller, 'malformed_json_rpc', `JSON-RPC error ${error.code}: ${error.message}`, message);
      }
      yield json;
    }
  }

  private visibleTools(caller: DoorCaller): Promise<ToolDefinition[]> {
    return this.path.visibleTools(caller);
  }

  private async call(request: ToolRequest): ReturnType<Path['call']> {
    try {
      return await this.path.call(request);
    } catch (thrown) {
      if (thrown instanceof CoralError && thrown.reason === 'unknown_tool') {
        const { kind, reason, message, next, where } = thrown;
        throw new UnknownTool(`${message} ${next ?? ''}`.trim(), { error: { kind, reason, message, next, where } });
      }
      throw thrown;
    }
  }

  /** The row of what never became a call; a stranger gets `unauthenticated` instead, with a row of its own. */
  private async refuse(
    caller: DoorCaller,
    reason: string,
    message: string,
    told: Record<string, unknown> = {},
  ): Promise<void> {
    await this.visibleTools(caller);
    const params = told['params'];
    const { name, arguments: args } = (typeof params === 'object' && params !== null ? params : {}) as {
      name?: unknown;
      arguments?: unknown;
    };
    const request: MalformedRequest = {
      ...requestOf(caller),
      ...(typeof name === 'string' ? { name } : {}),
      ...(args === undefined ? {} : { args }),
    };
    await this.path.refuse(request, new CoralError({ kind: 'invalid_argument', reason, message }));
  }
}

function requestOf({ token, peer, audience, door, remoteAddress, idempotencyKey }: DoorCaller) {
  return { token, peer, audience, door, remoteAddress, ...known({ idempotencyKey }) };
}

/** Absent rather than undefined. */
function known<T extends Record<string, string | undefined>>(fields: T): { [K in keyof T]?: string } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: string;
  };
}
