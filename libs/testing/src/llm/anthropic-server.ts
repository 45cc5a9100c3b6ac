import type { ServerResponse } from 'node:http';
import { isDeepStrictEqual } from 'node:util';
import {
  blocksOf,
  checkMessages,
  type Issued,
  type MessageBlock,
  type MessagesBody,
  type Refusal,
} from './anthropic-check.js';
import { issue, newId, sse, type IssuedBlock } from './anthropic-events.js';
import { playFault, type Wording } from './http-faults.js';
import { playReply } from './play-reply.js';
import { isFault, type ModelScript, type ScriptedRequest, type ScriptedResult } from './scripted-model.js';
import { WireServer, type RecordedRequest } from './wire-server.js';

/** Error types by status: https://platform.claude.com/docs/en/api/errors. */
const types: Record<number, string> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  500: 'api_error',
  504: 'timeout_error',
  529: 'overloaded_error',
};

const messages: Record<number, string> = {
  401: 'invalid x-api-key',
  429: 'This request would exceed your account’s rate limit. Please try again later.',
  500: 'Internal server error',
  529: 'Overloaded',
};

/**
 * The Messages API as far as a client of tools meets it, driven by a script: streams with every event, checks what it is
 * sent as strictly as the API, keeps every request. It streams only.
 */
export class AnthropicServer {
  /** Requests that were refused as the API would have: a defect of the client, unless the test wants it. */
  readonly refusals: Refusal[] = [];
  private readonly signed: IssuedBlock[] = [];
  private readonly callsIn = new Map<string, readonly IssuedBlock[]>();
  private readonly paused: (readonly IssuedBlock[])[] = [];
  private readonly wire = new WireServer((request, response) => this.answer(request, response));

  private constructor(
    private readonly script: ModelScript,
    private readonly key: string,
  ) {}

  /** `key`: the only one it takes. */
  static async start(script: ModelScript, key: string): Promise<AnthropicServer> {
    const server = new AnthropicServer(script, key);
    await server.wire.start();
    return server;
  }

  /** For `ai.endpoint`. */
  get url(): string {
    return this.wire.url;
  }

  get requests(): readonly RecordedRequest[] {
    return this.wire.requests;
  }

  /** Resolves with the n-th request, counted from 1. */
  request(n: number): Promise<RecordedRequest> {
    return this.wire.request(n);
  }

  /** Connections that are open now. */
  get connections(): number {
    return this.wire.connections;
  }

  /** Connections that were ever made. */
  get connectionsSeen(): number {
    return this.wire.connectionsSeen;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.wire[Symbol.asyncDispose]();
  }

  private async answer(request: RecordedRequest, response: ServerResponse): Promise<void> {
    const checked = this.check(request);
    if ('status' in checked) {
      this.refusals.push(checked);
      const { body, headers } = words.error(checked.status, checked);
      response.writeHead(checked.status, { 'content-type': 'application/json', ...headers }).end(body);
      return;
    }
    const answer = await this.script.next(readRequest(checked));
    if (isFault(answer)) {
      await playFault(answer, response, words);
      return;
    }
    const { content, events, stopReason } = issue(answer, { model: checked.model, promptChars: request.body.length });
    if (answer.break === undefined) this.remember(content, stopReason);
    await playReply(response, events, answer, {
      headers: { 'request-id': newId('req'), 'anthropic-organization-id': '00000000-0000-4000-8000-000000000000' },
      errorEvent: (type, message) => sse('error', { error: { type, message }, request_id: newId('req') }),
    });
  }

  private check(request: RecordedRequest): MessagesBody | Refusal {
    const { headers, method, path } = request;
    if (method !== 'POST' || path !== '/v1/messages') return refuse(404, 'Not found');
    const keys = [headers['x-api-key'], headers.authorization?.replace(/^Bearer /, '')].filter(
      (key) => key !== undefined,
    );
    if (keys.length === 0) return refuse(401, 'x-api-key header is required');
    if (keys.length > 1 || keys[0] !== this.key) return refuse(401, 'invalid x-api-key');
    if (headers['content-type'] !== 'application/json') return refuse(400, 'content-type: must be application/json');
    const version = headers['anthropic-version'];
    const body = checkMessages(typeof version === 'string' ? version : undefined, request.body, this.issued());
    if (!('status' in body) && body.stream !== true) return refuse(400, 'stream: this server streams only');
    return body;
  }

  private remember(content: IssuedBlock[], stopReason: string): void {
    for (const block of content) {
      if (block.type === 'thinking' || block.type === 'redacted_thinking') this.signed.push(block);
      if (block.type === 'tool_use') this.callsIn.set(String(block['id']), content);
    }
    if (stopReason === 'pause_turn') this.paused.push(content);
  }

  private issued(): Issued {
    return {
      messageOf: (callId) => this.callsIn.get(callId),
      isSigned: (block) => this.signed.some((one) => isDeepStrictEqual(one, block)),
      isPaused: (content) =>
        this.paused.some((one) => isDeepStrictEqual(one, content.slice(content.length - one.length))),
    };
  }
}

function refuse(status: number, message: string): Refusal {
  return { status, type: types[status] ?? 'api_error', message };
}

const words: Wording = {
  error(status, { type, message }) {
    const requestId = newId('req');
    const error = { type: type ?? types[status] ?? 'api_error', message: message ?? messages[status] ?? 'Scripted.' };
    return {
      body: JSON.stringify({ type: 'error', error, request_id: requestId }),
      headers: { 'request-id': requestId, 'x-should-retry': String(status === 429 || status >= 500) },
    };
  },
  opening: () =>
    issue({ parts: [{ say: ['On '] }] }, { model: 'scripted', promptChars: 4 })
      .events.slice(0, 4)
      .map(({ text }) => text)
      .join(''),
  delta: () => sse('content_block_delta', { index: 0, delta: { type: 'text_delta', text: 'and on '.repeat(1_000) } }),
  ping: () => sse('ping', {}),
};

function readRequest(body: MessagesBody): Omit<ScriptedRequest, 'index'> {
  const names = new Map<string, string>();
  const results: ScriptedResult[][] = [];
  let question = '';
  for (const { role, content } of body.messages) {
    const blocks = blocksOf(content);
    for (const block of blocks) {
      if (block.type === 'tool_use') names.set(block.id, block.name);
      if (block.type === 'text' && role === 'user') question = block.text;
    }
    results.push(blocks.flatMap((block) => resultIn(block, names)));
  }
  return {
    model: body.model,
    system: typeof body.system === 'string' ? body.system : (body.system ?? []).map(({ text }) => text).join('\n'),
    question,
    tools: body.tool_choice?.type === 'none' ? [] : (body.tools ?? []).map(({ name }) => name),
    results: results.at(-1) ?? [],
    allResults: results.flat(),
    body,
  };
}

function resultIn(block: MessageBlock, names: ReadonlyMap<string, string>): ScriptedResult[] {
  if (block.type !== 'tool_result') return [];
  const { content, tool_use_id: callId } = block;
  const text = Array.isArray(content) ? content.map((one) => one.text).join('') : (content ?? '');
  return [{ callId, name: names.get(callId) ?? '', text, isError: block.is_error === true }];
}
