import { randomUUID } from 'node:crypto';
import { Metadata, status, type ServiceError } from '@grpc/grpc-js';
import type { JSONRPCMessage, Transport, TransportSendOptions } from '@modelcontextprotocol/client';
import { CoralError } from '@coral/errors';
import { errorTrailerKey, fromServiceError, type colonyV1 } from '@coral/rpc';
import { delayBefore, type CallPolicy } from './call-policy.js';

/** Header of a tool call's name: retries repeat it unchanged, so the colony runs the call once. */
export const idempotencyHeader = 'idempotency-key';

interface Attempt {
  bytes: Buffer;
  metadata: Metadata;
  signal: AbortSignal | undefined;
  /** Wall clock of the process, ms: gRPC deadlines are absolute. */
  deadline: Date;
}

/**
 * MCP's custom transport over `McpService.Exchange`: one gRPC call per JSON-RPC request, its frames unchanged.
 * Cancelling a request cancels its call. Only connections that broke are tried again: an answer, good or bad, is final.
 */
export class ExchangeTransport implements Transport {
  readonly hasPerRequestStream = true;
  onclose?: () => void;
  onerror?: (error: Error) => void;
  onmessage?: Transport['onmessage'];
  private readonly closing = new AbortController();

  constructor(
    private readonly client: colonyV1.McpServiceClient,
    private readonly token: string,
    private readonly policy: CallPolicy,
  ) {}

  async start(): Promise<void> {}

  async close(): Promise<void> {
    if (this.closing.signal.aborted) return;
    this.closing.abort();
    this.onclose?.();
  }

  async send(message: JSONRPCMessage, options?: TransportSendOptions): Promise<void> {
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${this.token}`);
    metadata.set(idempotencyHeader, options?.headers?.[idempotencyHeader] ?? randomUUID());
    const signals = [this.closing.signal, ...(options?.requestSignal ? [options.requestSignal] : [])];
    await this.sendUntilAnswered({
      bytes: Buffer.from(JSON.stringify(message)),
      metadata,
      signal: AbortSignal.any(signals),
      deadline: new Date(Date.now() + this.policy.deadlineMs),
    });
    options?.onRequestStreamEnd?.();
  }

  private async sendUntilAnswered(attempt: Attempt): Promise<void> {
    const { clock, retryWindowMs, deadlineMs } = this.policy;
    const started = clock.monotonic();
    for (let count = 0; ; count += 1) {
      const broken = await this.exchange(attempt);
      if (!broken) return;
      if (this.policy.isOver()) throw leaseOver(broken);
      const elapsed = clock.monotonic() - started;
      const pause = delayBefore(count, this.policy);
      if (elapsed + pause > Math.min(retryWindowMs, deadlineMs)) throw colonyGone(broken, count + 1, elapsed);
      try {
        await this.policy.sleep(pause, attempt.signal);
      } catch (thrown) {
        throw attempt.signal?.aborted ? cancelled(thrown) : thrown;
      }
    }
  }

  /** One gRPC call. Resolves undefined when answered, the error when the connection broke; rejects when the colony refused. */
  private exchange(attempt: Attempt): Promise<ServiceError | undefined> {
    return new Promise((resolve, reject) => {
      if (attempt.signal?.aborted) {
        reject(cancelled(attempt.signal.reason));
        return;
      }
      const call = this.client.exchange({ json: attempt.bytes }, attempt.metadata, { deadline: attempt.deadline });
      const cancel = () => call.cancel();
      attempt.signal?.addEventListener('abort', cancel, { once: true });
      let answered = false;
      call.on('data', (frame: colonyV1.ExchangeResponse) => {
        answered = this.deliver(frame.json) || answered;
      });
      call.on('error', (error: ServiceError) => {
        attempt.signal?.removeEventListener('abort', cancel);
        if (answered) resolve(undefined);
        else if (attempt.signal?.aborted) reject(cancelled(error));
        else if (isBrokenConnection(error)) resolve(error);
        else reject(fromServiceError(error));
      });
      call.on('end', () => {
        attempt.signal?.removeEventListener('abort', cancel);
        if (answered) resolve(undefined);
        // An error may still follow `end`; it then settles first or changes nothing.
        else setImmediate(() => reject(noAnswer()));
      });
    });
  }

  /** True when the frame held the response and not a notification. */
  private deliver(json: Buffer): boolean {
    try {
      const message = JSON.parse(json.toString('utf8')) as JSONRPCMessage;
      this.onmessage?.(message);
      return 'result' in message || 'error' in message;
    } catch (thrown) {
      this.onerror?.(thrown instanceof Error ? thrown : new Error(String(thrown)));
      return false;
    }
  }
}

/**
 * True when no colony spoke: the socket was refused, reset or closed. A colony that refuses puts its reason in the
 * trailer, and asking it again would only repeat the answer.
 */
function isBrokenConnection(error: ServiceError): boolean {
  if (error.metadata?.get(errorTrailerKey).length) return false;
  if (error.code === status.UNAVAILABLE) return true;
  // grpc-js says INTERNAL when an HTTP/2 stream is reset by the peer's death rather than by its will.
  return error.code === status.INTERNAL && /RST_STREAM|ECONNRESET|EPIPE/.test(error.details);
}

function colonyGone(error: ServiceError, attempts: number, elapsedMs: number): CoralError {
  const seconds = (elapsedMs / 1_000).toFixed(1);
  return new CoralError({
    kind: 'unavailable',
    reason: 'colony_unreachable',
    message: `The colony stopped answering: ${attempts} attempts in ${seconds} s failed.`,
    next: 'Ask again in a moment; if it stays away, see that the colony runs and that its port can be reached.',
    cause: error,
  });
}

function leaseOver(cause: unknown): CoralError {
  return new CoralError({
    kind: 'unauthenticated',
    reason: 'lease_expired',
    message: 'The lease ended, and with it the connection to the colony.',
    next: 'Ask again; --ephemeral-ttl 15m asks for a longer lease.',
    cause,
  });
}

function noAnswer(): CoralError {
  return new CoralError({
    kind: 'internal',
    reason: 'mcp_no_answer',
    message: 'The colony ended the exchange without an answer.',
    next: 'Ask again; if it happens twice, look in the log of the colony.',
  });
}

function cancelled(cause: unknown): CoralError {
  return new CoralError({ kind: 'cancelled', reason: 'cancelled', message: 'The call was cancelled.', cause });
}
