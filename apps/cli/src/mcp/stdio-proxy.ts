import { randomUUID } from 'node:crypto';
import type { Readable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import { CoralError, toCoralError } from '@coral/errors';
import type { DoorKeeper } from './door-keeper.js';
import { linesOf } from './line-reader.js';
import { failedRequest, idInUse, isObject, readMessage, readTold, type ClientMessage } from './mcp-message.js';
import { LostDoor, type Door } from './mesh-door.js';
import { headersFor } from './request-headers.js';
import { driftedTools } from './tool-drift.js';

/** Requests without an answer at once. */
export const maxOpenRequests = 256;
/** A request that takes longer has lost its colony, ms: the colony's own deadlines strike long before. */
export const requestLimitMs = 120_000;
/** After the end of input, answers that are under way have this long, ms. */
export const drainLimitMs = 10_000;
/** What was cut has this long to end, ms: a client may have stopped reading. */
const cutLimitMs = 1_000;

export interface StdioProxyOptions {
  input: Readable;
  /** Gets whole lines. Resolves when there is room for more. */
  write(text: string): Promise<void>;
  keeper: DoorKeeper;
  /** For people. */
  say(line: string): void;
  /** Ends the proxy at once. */
  signal: AbortSignal;
  limits?: { requestMs?: number; drainMs?: number };
}

type Forwarded = Exclude<ClientMessage, { kind: 'refused' }>;

/**
 * Between a client on stdin and stdout and the colony's HTTP door: messages pass as they are, in both directions. A request whose
 * lease ends on the way is sent once more under a new one, with the same idempotency key.
 */
export class StdioProxy {
  readonly #options: StdioProxyOptions;
  readonly #requests = new Map<string, AbortController>();
  /** Of those, the streams that end only when they are cancelled. */
  readonly #listening = new Set<AbortController>();
  readonly #underWay = new Set<Promise<void>>();
  readonly #warnedOf = new Set<string>();
  /** What `initialize` agreed on, with a client from before 2026. */
  #agreed: string | undefined;

  constructor(options: StdioProxyOptions) {
    this.#options = options;
  }

  /** Resolves when the input has ended and all answers are out, or `signal` has aborted. */
  async run(): Promise<void> {
    const { input, signal } = this.#options;
    const stop = () => input.destroy();
    signal.addEventListener('abort', stop, { once: true });
    try {
      for await (const line of linesOf(input)) this.#take(readMessage(line));
    } catch (thrown) {
      if (!signal.aborted) throw thrown;
    }
    await this.#drain();
    signal.removeEventListener('abort', stop);
  }

  #take(message: ClientMessage): void {
    const work = this.#handle(message).catch((thrown: unknown) => this.#tell('the client is gone', thrown));
    const done = work.finally(() => this.#underWay.delete(done));
    this.#underWay.add(done);
  }

  async #handle(message: ClientMessage): Promise<void> {
    if (message.kind === 'refused') await this.#options.write(`${message.answer}\n`);
    else if (message.kind === 'request') await this.#request(message);
    else if (!this.#cancels(message)) await this.#notify(message);
  }

  /** Closing a call is how HTTP cancels it; no answer comes to a request that was cancelled. */
  #cancels(message: Forwarded): boolean {
    if (message.kind !== 'notification' || message.method !== 'notifications/cancelled') return false;
    const request = this.#requests.get(JSON.stringify(message.params['requestId']));
    request?.abort();
    return request !== undefined;
  }

  async #request(message: Forwarded & { kind: 'request' }): Promise<void> {
    const { signal, limits = {} } = this.#options;
    const name = JSON.stringify(message.id);
    if (this.#requests.has(name)) return this.#options.write(`${idInUse(message.id)}\n`);
    const cancelling = new AbortController();
    const listens = message.method === 'subscriptions/listen';
    const late = listens ? [] : [AbortSignal.timeout(limits.requestMs ?? requestLimitMs)];
    try {
      if (this.#requests.size >= maxOpenRequests) throw tooManyRequests();
      this.#requests.set(name, cancelling);
      if (listens) this.#listening.add(cancelling);
      await this.#relay(message, AbortSignal.any([signal, cancelling.signal, ...late]), listens);
    } catch (thrown) {
      if (signal.aborted || cancelling.signal.aborted) return;
      const error = late.some(({ aborted }) => aborted) ? tookTooLong() : toCoralError(thrown);
      this.#tell(message.method, error);
      await this.#options.write(`${failedRequest(message.id, error)}\n`);
    } finally {
      if (this.#requests.get(name) === cancelling) this.#requests.delete(name);
      this.#listening.delete(cancelling);
    }
  }

  /** There is no answer to these, so there is nobody but people to tell that one was lost. */
  async #notify(message: Forwarded): Promise<void> {
    try {
      await this.#relay(message, this.#options.signal);
    } catch (thrown) {
      if (!this.#options.signal.aborted) this.#tell('a notification was lost', thrown);
    }
  }

  async #relay(message: Forwarded, signal: AbortSignal, listens = false): Promise<void> {
    const { keeper } = this.#options;
    const key = randomUUID();
    for (let isRetry = false; ; isRetry = true) {
      using holding = await keeper.hold({ signal, patient: isRetry });
      // Once it hears something, a stream that only listens keeps no lease alive.
      const onTold = () => (listens ? holding[Symbol.dispose]() : undefined);
      try {
        await this.#exchange(holding.door, message, key, signal, onTold);
        return;
      } catch (thrown) {
        if (!(thrown instanceof LostDoor) || signal.aborted) throw thrown;
        await keeper.lost(holding.door);
        if (isRetry || listens) throw thrown;
      }
    }
  }

  async #exchange(door: Door, message: Forwarded, key: string, signal: AbortSignal, onTold: () => void): Promise<void> {
    const headers = { ...headersFor(message, this.#agreed), 'idempotency-key': key };
    let isAnswered = message.kind !== 'request';
    for await (const text of door.post({ bytes: message.bytes, headers, signal })) {
      const told = readTold(text);
      if (!told) throw notMcp();
      let { line } = told;
      if (told.answers !== undefined && message.kind === 'request') {
        // A door that could not read the id answers to nobody; over stdio the client would wait for ever.
        if (told.answers === null) line = JSON.stringify({ ...told.value, id: message.id });
        else if (told.answers !== message.id) throw notMcp();
        isAnswered = true;
        this.#observe(message.method, told.value['result']);
      }
      if (message.kind !== 'request' && told.answers !== undefined) continue;
      await this.#options.write(`${line}\n`);
      onTold();
    }
    if (!isAnswered) throw new LostDoor(noAnswer());
  }

  #observe(method: string, result: unknown): void {
    if (method === 'initialize' && isObject(result) && typeof result['protocolVersion'] === 'string') {
      this.#agreed = result['protocolVersion'];
    }
    if (method !== 'tools/list') return;
    for (const tool of driftedTools(result)) {
      if (this.#warnedOf.has(tool)) continue;
      this.#warnedOf.add(tool);
      this.#options.say(
        `warning: tool_drift: the colony describes ${JSON.stringify(tool)} in other words than this version of coral knows`,
      );
    }
  }

  async #drain(): Promise<void> {
    const { signal, limits = {} } = this.#options;
    for (const listening of this.#listening) listening.abort();
    await this.#untilAnswered(limits.drainMs ?? drainLimitMs, signal);
    for (const request of this.#requests.values()) request.abort();
    await this.#untilAnswered(cutLimitMs);
  }

  async #untilAnswered(limitMs: number, signal?: AbortSignal): Promise<void> {
    const left = new AbortController();
    const signals = signal ? [left.signal, signal] : [left.signal];
    const late = wait(limitMs, undefined, { signal: AbortSignal.any(signals) }).catch(() => undefined);
    await Promise.race([Promise.all(this.#underWay), late]);
    left.abort();
  }

  #tell(what: string, thrown: unknown): void {
    const { reason, message } = toCoralError(thrown);
    this.#options.say(`${what}: ${reason}: ${message}`);
  }
}

function tooManyRequests(): CoralError {
  return new CoralError({
    kind: 'resource_exhausted',
    reason: 'too_many_requests',
    message: `${maxOpenRequests} requests are under way; no more are taken until one is answered.`,
    next: 'Wait for an answer, or cancel a request.',
  });
}

function tookTooLong(): CoralError {
  return new CoralError({
    kind: 'deadline_exceeded',
    reason: 'mcp_deadline',
    message: 'The colony did not answer in time.',
    next: 'Ask for less: a shorter time range, or one service.',
  });
}

function noAnswer() {
  return {
    kind: 'unavailable' as const,
    reason: 'mcp_no_answer',
    message: 'The colony ended the exchange without an answer.',
    next: 'Ask again; if it happens twice, look in the log of the colony.',
  };
}

function notMcp(): CoralError {
  return new CoralError({
    kind: 'internal',
    reason: 'bad_mcp_answer',
    message: 'The colony gave an answer that is no MCP message, or one to another request.',
    next: 'Compare the versions of coral and of the colony.',
  });
}
