import type { IncomingHttpHeaders } from 'node:http';
import type { CoralError } from '@coral/errors';
import type { KeyId } from '@coral/model';

/** Where a connection comes from, as the door that accepted it knows. */
export interface HttpOrigin {
  /** Set in the mesh: the proven key of the far end. */
  peer: KeyId | undefined;
  remoteAddress: string;
}

/** A whole request that passed the gate. */
export interface HttpRequest extends HttpOrigin {
  method: string;
  headers: IncomingHttpHeaders;
  /** The text behind `Bearer`; undefined when there is none, or more than one. */
  token: string | undefined;
  /** A claim of the client. */
  userAgent: string;
  body: Buffer;
  /** Aborts when the client goes away. */
  signal: AbortSignal;
}

export interface HttpReply {
  status: number;
  headers?: Readonly<Record<string, string>>;
  /** A stream is sent piece by piece; when it throws, the connection is cut. */
  body?: string | AsyncIterable<string>;
}

/** What is served at one path. A route writes the audit rows of what it refuses itself. */
export interface HttpRoute {
  /** Beside `OPTIONS`, which the door answers. */
  readonly methods: readonly string[];
  readonly maxBodyBytes: number;
  answer(request: HttpRequest): Promise<HttpReply>;
  /** An error in the words of this route. */
  say(error: CoralError): HttpReply;
}
