import {
  Metadata,
  type CallOptions,
  type Client,
  type ClientReadableStream,
  type ClientUnaryCall,
  type ServiceError,
} from '@grpc/grpc-js';
import { CoralError } from '@coral/errors';
import { defaultDeadlineMs } from './limits.js';
import { fromServiceError, hasDetails, unreachable, type FarEnd } from './service-error.js';

export interface RpcOptions {
  /** Default {@link defaultDeadlineMs}. */
  deadlineMs?: number;
  metadata?: Metadata;
  signal?: AbortSignal;
  /** Who is called, for the error when nobody answers. Default `colony`. */
  far?: FarEnd;
}

type Unary<Req, Res> = (
  request: Req,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Res) => void,
) => ClientUnaryCall;
type ServerStream<Req, Res> = (
  request: Req,
  metadata: Metadata,
  options: Partial<CallOptions>,
) => ClientReadableStream<Res>;

/** `callUnary(client, client.describeColony, {})`. Rejects with CoralError; an abort cancels the call at the far end. */
export async function callUnary<Req, Res>(
  client: Client,
  method: Unary<Req, Res>,
  request: Req,
  o: RpcOptions = {},
): Promise<Res> {
  if (o.signal?.aborted) throw cancelled(o.signal.reason);
  return await new Promise<Res>((resolve, reject) => {
    const call = method.call(client, request, o.metadata ?? new Metadata(), callOptions(o), (error, response) => {
      o.signal?.removeEventListener('abort', onAbort);
      if (error) reject(failure(error, o));
      else resolve(response);
    });
    const onAbort = (): void => call.cancel();
    o.signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** The same for a server stream. Leaving the loop early cancels the call at the far end. */
export async function* callServerStream<Req, Res>(
  client: Client,
  method: ServerStream<Req, Res>,
  request: Req,
  o: RpcOptions = {},
): AsyncGenerator<Res, void, undefined> {
  if (o.signal?.aborted) throw cancelled(o.signal.reason);
  const call = method.call(client, request, o.metadata ?? new Metadata(), callOptions(o));
  const onAbort = (): void => call.cancel();
  o.signal?.addEventListener('abort', onAbort, { once: true });
  try {
    for await (const message of call) yield message as Res;
  } catch (error) {
    throw failure(error, o);
  } finally {
    o.signal?.removeEventListener('abort', onAbort);
    call.cancel();
  }
}

/** A call that we did not cancel was dropped by the far end: grpc-js says CANCELLED when a server shuts down. */
function failure(thrown: unknown, o: RpcOptions): CoralError {
  const error = fromServiceError(thrown, o.far);
  const dropped = error.reason === 'cancelled' && !o.signal?.aborted && !hasDetails(thrown);
  return dropped ? unreachable(o.far ?? 'colony', 'it ended the call', error.cause) : error;
}

function callOptions(o: RpcOptions): Partial<CallOptions> {
  return { deadline: Date.now() + (o.deadlineMs ?? defaultDeadlineMs) };
}

function cancelled(cause: unknown): CoralError {
  return new CoralError({ kind: 'cancelled', reason: 'cancelled', message: 'The call was cancelled.', cause });
}
