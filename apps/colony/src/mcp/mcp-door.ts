import type { IncomingHttpHeaders } from 'node:http';
import { CoralError } from '@coral/errors';
import type { Permission } from '@coral/model';
import type { MalformedRequest, Stranger, ToolPath, ToolRequest } from '@coral/tool-path';
import type { ToolDefinition, ToolErrorBody } from '@coral/tools';
import { maxFrameBytes, maxFrameDepth, readFrame } from './json-frame.js';
import type { FrameProblem } from './json-frame.js';
import { errorIn, protocolError, UnknownTool } from './mcp-adapter.js';
import type { McpAdapter, McpCalls, McpFrame, McpReply } from './mcp-adapter.js';
import { dataOf } from './server-sent-events.js';

/** Who is at the door, as far as the transport knows. */
export interface DoorCaller extends Stranger {
  idempotencyKey: string | undefined;
  /** What the client calls itself, where the protocol does not tell. Recorded, never believed. */
  userAgent?: string;
}

/** Only the scope of the caller's token stands in the way: said by HTTP's own means (403), as the new era's clients expect. */
export class ScopeMissing extends CoralError {
  readonly scope: Permission;

  constructor({ error }: ToolErrorBody, scope: Permission) {
    super({ ...error, kind: 'permission_denied' });
    this.scope = scope;
  }
}

type Path = Pick<ToolPath, 'call' | 'refuse' | 'visibleTools'>;

const problems: Record<FrameProblem, { code: 'parse_error' | 'invalid_request'; status?: number; message: string }> = {
  too_large: { code: 'invalid_request', status: 413, message: `The message is larger than ${maxFrameBytes} bytes.` },
  too_deep: { code: 'invalid_request', message: `The message is nested deeper than ${maxFrameDepth} levels.` },
  not_json: { code: 'parse_error', message: 'The message is not JSON in UTF-8.' },
  not_an_object: {
    code: 'invalid_request',
    message: 'The message is not one JSON-RPC object; batches are not served.',
  },
};

/** SEP-2243: headers and body of an HTTP request disagree. */
const headerMismatch = -32_020;

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
      yield (await this.refuseFrame(frame.problem, caller)).json;
      return;
    }
    const { message } = frame;
    const attempt = await this.begin(message, caller, signal);
    for await (const { json, error } of this.adapter.exchange(message, attempt.calls, signal)) {
      if (error !== undefined) await attempt.refuseUnlessCalled(error);
      yield json;
    }
  }

  /** The same over HTTP, where the client's headers must agree with its message, and both eras are served. */
  async respond(
    bytes: Uint8Array,
    headers: IncomingHttpHeaders,
    caller: DoorCaller,
    signal: AbortSignal,
  ): Promise<McpReply> {
    const frame = readFrame(bytes);
    if (frame.problem !== undefined) {
      const { json } = await this.refuseFrame(frame.problem, caller);
      const { status = 400 } = problems[frame.problem];
      return { status, headers: { 'content-type': 'application/json' }, json: json.toString() };
    }
    const { message } = frame;
    const attempt = await this.begin(message, caller, signal);
    const reply = await this.adapter.respond(message, headers, attempt.calls, signal);
    if (attempt.wasCalled()) return reply;
    if (reply.events !== undefined) return { ...reply, events: refusingErrors(reply.events, attempt) };
    const error = reply.json === undefined ? undefined : errorIn(reply.json);
    if (error !== undefined) await attempt.refuseUnlessCalled(error);
    return reply;
  }

  private async begin(message: Record<string, unknown>, caller: DoorCaller, signal: AbortSignal): Promise<Attempt> {
    // The tool path verifies the caller of a tool call itself, with the call's own row; for the rest it happens here.
    const tools = message['method'] === 'tools/call' ? undefined : await this.visibleTools(caller);
    let called = false;
    return {
      wasCalled: () => called,
      refuseUnlessCalled: async ({ code, message: text }) => {
        if (called) return;
        const reason = code === headerMismatch ? 'malformed_header_mismatch' : 'malformed_json_rpc';
        await this.refuse(caller, reason, `JSON-RPC error ${code}: ${text}`, message);
      },
      calls: {
        listTools: async () => tools ?? (await this.visibleTools(caller)),
        callTool: async (name, args, clientInfo = caller.userAgent, era) => {
          called = true;
          const answer = await this.call({
            name,
            args,
            signal,
            ...(clientInfo === undefined ? {} : { clientInfo }),
            ...requestOf(caller),
          });
          if (answer.missingScope !== undefined && era === 'modern' && caller.door === 'http') {
            throw new ScopeMissing(answer.body as ToolErrorBody, answer.missingScope);
          }
          return answer;
        },
      },
    };
  }

  private async refuseFrame(problem: FrameProblem, caller: DoorCaller): Promise<McpFrame> {
    const { code, message } = problems[problem];
    await this.refuse(caller, `malformed_${problem}`, message);
    return protocolError(code, message);
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

interface Attempt {
  calls: McpCalls;
  /** Whether the tool path has seen it: then its rows are there. */
  wasCalled(): boolean;
  refuseUnlessCalled(error: { code: number; message: string }): Promise<void>;
}

async function* refusingErrors(events: AsyncIterable<string>, attempt: Attempt): AsyncGenerator<string> {
  for await (const event of events) {
    const data = dataOf(event);
    const error = data === '' ? undefined : errorIn(data);
    if (error !== undefined) await attempt.refuseUnlessCalled(error);
    yield event;
  }
}

function requestOf({ token, peer, audience, door, remoteAddress, idempotencyKey }: DoorCaller) {
  const request = { token, peer, audience, door, remoteAddress };
  return idempotencyKey === undefined ? request : { ...request, idempotencyKey };
}
