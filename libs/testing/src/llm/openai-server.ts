import type { ServerResponse } from 'node:http';
import { playFault, type Wording } from './http-faults.js';
import { ChatWire } from './openai-chat-wire.js';
import { asObject, newId, Refused, type Json } from './openai-wire-parts.js';
import { sse } from './openai-responses-events.js';
import { ResponsesWire } from './openai-responses-wire.js';
import { playReply } from './play-reply.js';
import { isFault, type ModelScript } from './scripted-model.js';
import { WireServer, type RecordedRequest } from './wire-server.js';

/**
 * Speaks OpenAI's wire protocols, Responses at `/v1/responses` and Chat Completions at `/v1/chat/completions`, and says what
 * the script says. Requests are checked as strictly as the real API does, and stricter where it forgives.
 */
export class OpenAiServer extends WireServer {
  /** What was wrong with requests that were refused, in turn. */
  readonly refusals: string[] = [];
  private readonly apis = { '/v1/responses': new ResponsesWire(), '/v1/chat/completions': new ChatWire() };

  private constructor(
    private readonly script: ModelScript,
    private readonly key: string | undefined,
  ) {
    super((request, response) => this.answer(request, response));
  }

  /** `key`: the only one that is let in; absent: a server of one's own, which wants none and takes none. */
  static async start(script: ModelScript, key?: string): Promise<OpenAiServer> {
    return await new OpenAiServer(script, key).start();
  }

  /** What `ai.endpoint` is set to. */
  get endpoint(): string {
    return `${this.url}/v1`;
  }

  private async answer(request: RecordedRequest, response: ServerResponse): Promise<void> {
    try {
      await this.play(request, response);
    } catch (thrown) {
      if (!(thrown instanceof Refused)) throw thrown;
      this.refusals.push(thrown.message);
      const { message, param, status, code } = thrown;
      const error = { message, type: 'invalid_request_error', param, code };
      response.writeHead(status, jsonHeaders()).end(JSON.stringify({ error }, null, 2));
    }
  }

  private async play(request: RecordedRequest, response: ServerResponse): Promise<void> {
    if (!Object.hasOwn(this.apis, request.path)) {
      throw new Refused(`Invalid URL (${request.method} ${request.path})`, null, 404);
    }
    if (request.method !== 'POST')
      throw new Refused(`Not allowed to ${request.method}.`, null, 405, 'method_not_supported');
    this.checkKey(request);
    if (request.headers['content-type'] !== 'application/json')
      throw new Refused('Unsupported content type.', null, 415);
    const body = parse(request.body);
    const path = request.path as keyof typeof this.apis;
    const api = this.apis[path];
    const answer = await this.script.next(api.understand(body));
    const words = path === '/v1/responses' ? responsesWords : chatWords;
    if (isFault(answer)) return await playFault(answer, response, words);
    const headers = { 'x-request-id': newId('req'), 'openai-processing-ms': '120', 'openai-version': '2020-10-01' };
    const errorEvent = path === '/v1/responses' ? responsesError : chatError;
    return await playReply(response, api.events(answer, body), answer, { headers, errorEvent });
  }

  private checkKey({ headers }: RecordedRequest): void {
    const { key } = this;
    const sent = headers.authorization;
    if (key === undefined && sent === undefined) return;
    if (key !== undefined && sent === `Bearer ${key}`) return;
    // The real API repeats what it was sent, in part.
    throw new Refused(`Incorrect API key provided: ${sent ?? 'none'}.`, null, 401, 'invalid_api_key');
  }
}

function parse(text: string): Json {
  try {
    return asObject(JSON.parse(text), 'body');
  } catch {
    throw new Refused('We could not parse the JSON body of your request.');
  }
}

function jsonHeaders(): Record<string, string> {
  return { 'content-type': 'application/json', 'x-request-id': newId('req') };
}

const types: Record<number, [type: string, code: string | null, message: string]> = {
  400: ['invalid_request_error', null, 'Invalid request.'],
  401: ['invalid_request_error', 'invalid_api_key', 'Incorrect API key provided.'],
  403: ['invalid_request_error', 'model_not_found', 'Project does not have access to this model.'],
  404: ['invalid_request_error', 'model_not_found', 'The model does not exist or you do not have access to it.'],
  429: ['requests', 'rate_limit_exceeded', 'Rate limit reached for requests per min (RPM).'],
  500: ['server_error', null, 'The server had an error while processing your request. Sorry about that!'],
  503: ['server_error', 'server_overloaded', 'The engine is currently overloaded, please try again later.'],
};

function error(
  status: number,
  o: { type?: string; message?: string },
): { body: string; headers: Record<string, string> } {
  const [type, code, message] = types[status] ?? ['server_error', null, 'Scripted.'];
  // Types of its own are codes too: insufficient_quota.
  const body = { message: o.message ?? message, type: o.type ?? type, param: null, code: o.type ?? code };
  return { body: JSON.stringify({ error: body }, null, 4), headers: { 'x-request-id': newId('req') } };
}

/** As the API itself nests it; its reference shows the same fields flat, and the SDK reads both. */
function responsesError(code: string, message: string): string {
  return sse('error', { type: 'error', sequence_number: 9, error: { type: code, code, message, param: null } });
}

function chatError(code: string, message: string): string {
  return `data: ${JSON.stringify({ error: { message, type: code, param: null, code } })}\n\n`;
}

const delta = {
  item_id: 'msg_0',
  output_index: 0,
  content_index: 0,
  logprobs: [],
  delta: 'again ',
  sequence_number: 4,
};

const responsesWords: Wording = {
  error,
  opening: () =>
    sse('response.created', { type: 'response.created', sequence_number: 0, response: { id: 'resp_0', output: [] } }) +
    sse('response.output_text.delta', { type: 'response.output_text.delta', ...delta }),
  delta: () => sse('response.output_text.delta', { type: 'response.output_text.delta', ...delta }),
  ping: () => ': keep-alive\n\n',
};

function chunk(content: string): string {
  const choices = [{ index: 0, delta: { content }, finish_reason: null }];
  return `data: ${JSON.stringify({ id: 'chatcmpl-0', object: 'chat.completion.chunk', created: 0, model: 'm', choices })}\n\n`;
}

const chatWords: Wording = {
  error,
  opening: () => chunk('Now '),
  delta: () => chunk('again '),
  ping: () => ': keep-alive\n\n',
};
