import { Agent, request, type ClientRequestArgs, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { CoralError, errorKinds, type ErrorKind, type ErrorDetails } from '@coral/errors';
import { maxMessageBytes } from '@coral/rpc';
import { isDisowned, type MeshAccess } from '../session/mesh-lease.js';
import { version } from '../version.js';
import { eventsOf, EventTooLarge } from './event-stream.js';
import { isObject, readTold } from './mcp-message.js';

/** Where each colony serves MCP over HTTP inside the mesh, and nowhere else. */
export const mcpHttpPort = 9_080;
const path = '/mcp';
/** Connections to the colony at once; more calls wait for one. */
export const maxConnections = 32;

export interface Posting {
  bytes: Buffer;
  /** From the body, without those of this connection. */
  headers: Record<string, string>;
  signal: AbortSignal;
}

/** The colony's MCP door over HTTP, for as long as one lease lives. */
export interface Door {
  readonly agentId: string;
  readonly livesMs: number;
  /** Until the colony stops honouring the lease; negative after that. */
  remainingMs(): number;
  /** What the colony says to one message, as it comes. Throws {@link LostDoor}, or CoralError for what stays refused. */
  post(posting: Posting): AsyncGenerator<string>;
  /** Cuts what is under way and gives the lease back. Twice is once; never throws. */
  close(): Promise<void>;
}

/** Nothing more comes through this door: the lease is over, or the colony went away. A new one may help. */
export class LostDoor extends CoralError {}

/** The colony spoke, and asking again would only repeat the answer. */
class Refused extends CoralError {}

export function openMeshDoor(access: MeshAccess): Door {
  const { host } = access.colony;
  const agent = new MeshAgent(access);
  let isClosed = false;
  const authority = `${host.includes(':') ? `[${host}]` : host}:${mcpHttpPort}`;

  const send = ({ bytes, headers, signal }: Posting, mayRepeat = true): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const own = { host: authority, authorization: `Bearer ${access.token}`, 'user-agent': `coral/${version}` };
      const length = { 'content-length': bytes.length };
      const sent = request({ agent, path, method: 'POST', signal, headers: { ...headers, ...own, ...length } });
      sent.once('response', resolve);
      sent.once('error', (thrown) => {
        // The colony closes connections that rest; this one was picked up a moment too late.
        if (mayRepeat && sent.reusedSocket && !signal.aborted) resolve(send({ bytes, headers, signal }, false));
        else reject(thrown);
      });
      sent.end(bytes);
    });

  async function* post(posting: Posting): AsyncGenerator<string> {
    try {
      yield* answersOf(await send(posting));
    } catch (thrown) {
      if (posting.signal.aborted || thrown instanceof LostDoor || thrown instanceof Refused) throw thrown;
      if (isClosed || access.remainingMs() <= 0 || isDisowned(thrown)) throw new LostDoor(leaseOver(thrown));
      throw new LostDoor(colonyGone(thrown));
    }
  }

  return {
    agentId: access.agentId,
    livesMs: access.livesMs,
    remainingMs: () => access.remainingMs(),
    post,
    close: async () => {
      isClosed = true;
      agent.destroy();
      await access.close();
    },
  };
}

/** Every connection it makes is a stream of the mesh. */
class MeshAgent extends Agent {
  readonly #access: MeshAccess;

  constructor(access: MeshAccess) {
    super({ keepAlive: true, maxSockets: maxConnections });
    this.#access = access;
  }

  override createConnection(
    _options: ClientRequestArgs,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    void this.#dial(callback as ((error: Error | null, stream?: Duplex) => void) | undefined);
  }

  async #dial(done?: (error: Error | null, stream?: Duplex) => void): Promise<void> {
    const { mesh, colony } = this.#access;
    let stream: Duplex;
    try {
      stream = await mesh.dial(colony.host, mcpHttpPort);
    } catch (thrown) {
      done?.(thrown as Error);
      return;
    }
    done?.(null, stream);
  }
}

async function* answersOf(response: IncomingMessage): AsyncGenerator<string> {
  const status = response.statusCode ?? 0;
  const type = response.headers['content-type']?.split(';')[0]?.trim() ?? '';
  try {
    if (status < 300 && type === 'text/event-stream') {
      yield* eventsOf(response, maxMessageBytes);
      return;
    }
    const text = await textOf(response);
    if (status === 401) throw new LostDoor(toldError(text) ?? leaseOver());
    // A JSON-RPC error comes with the HTTP status that suits it.
    if (type === 'application/json' && readTold(text)) yield text;
    else if (status >= 300) throw new Refused(toldError(text) ?? badStatus(status));
    else if (text !== '') throw new Refused(badAnswer(`its type is ${JSON.stringify(type)}`));
  } catch (thrown) {
    if (thrown instanceof EventTooLarge || thrown instanceof TypeError) throw new Refused(badAnswer(thrown.message));
    throw thrown;
  }
}

async function textOf(response: AsyncIterable<Buffer>): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of response) {
    length += part.length;
    if (length > maxMessageBytes) throw new EventTooLarge(maxMessageBytes);
    parts.push(part);
  }
  return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(parts));
}

/** Our error in the words of a door: problem+json, or `data` of a JSON-RPC error. */
function toldError(text: string): ErrorDetails | undefined {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return undefined; // A proxy's page, perhaps: the status has to do.
  }
  if (!isObject(body)) return undefined;
  const rpc = isObject(body['error']) ? body['error'] : undefined;
  const data = isObject(rpc?.['data']) ? rpc['data'] : {};
  const told = [data['error'], data, rpc, body].filter(isObject).find(({ reason }) => typeof reason === 'string');
  if (told === undefined) return undefined;
  const words = (key: string): string | undefined => (typeof told[key] === 'string' ? told[key] : undefined);
  const kind = [told['kind'], told['title']].find((word) => errorKinds.includes(word as ErrorKind));
  return {
    kind: (kind as ErrorKind | undefined) ?? 'internal',
    reason: words('reason') ?? 'internal',
    message: words('message') ?? words('detail') ?? 'The colony refused the request.',
    next: words('next'),
    where: words('where'),
  };
}

function leaseOver(cause?: unknown): ErrorDetails {
  return {
    kind: 'unauthenticated',
    reason: 'lease_expired',
    message: 'The lease ended, and with it the connection to the colony.',
    next: 'Ask again; --ttl 15m asks for longer leases.',
    cause,
  };
}

function colonyGone(cause: unknown): ErrorDetails {
  return {
    kind: 'unavailable',
    reason: 'colony_unreachable',
    message: 'The colony stopped answering.',
    next: 'Ask again in a moment; if it stays away, see that the colony runs and that its port can be reached.',
    cause,
  };
}

function badStatus(status: number): ErrorDetails {
  return {
    kind: status === 503 ? 'unavailable' : 'internal',
    reason: 'mcp_http_status',
    message: `The colony answered with HTTP status ${status}.`,
    next: 'Compare the versions of coral and of the colony.',
  };
}

function badAnswer(why: string): ErrorDetails {
  return {
    kind: 'internal',
    reason: 'bad_mcp_answer',
    message: `The colony gave an answer that is no MCP message: ${why}.`,
    next: 'Compare the versions of coral and of the colony.',
  };
}
