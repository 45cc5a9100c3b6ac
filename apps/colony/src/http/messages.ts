import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { httpStatusFor } from '@coral/errors';
import type { CoralError } from '@coral/errors';
import { BodyTooLarge, RequestIncomplete } from './http.errors.js';
import type { HttpReply } from './http-route.js';

/** Bytes of an `authorization` value; ours are far below. */
const maxCredentialLength = 8_192;

/** Two credentials are none: nobody should have to guess which one counts. Node itself would take the first. */
export function bearerOf(request: IncomingMessage): string | undefined {
  const values = request.headersDistinct['authorization'];
  const [value] = values ?? [];
  if (values?.length !== 1 || value === undefined || value.length > maxCredentialLength) return undefined;
  return /^Bearer +(\S+)$/i.exec(value)?.[1];
}

/** The whole body, or {@link BodyTooLarge}, or {@link RequestIncomplete}. What is announced too large is not read at all. */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw new BodyTooLarge(maxBytes);
  return await new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > maxBytes) {
        request.pause();
        reject(new BodyTooLarge(maxBytes));
      } else chunks.push(chunk);
    });
    const cut = (): void => reject(new RequestIncomplete());
    request.once('end', () => {
      // Each request is closed in the end; only before its last byte it means something.
      request.off('close', cut);
      resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks));
    });
    request.once('error', cut);
    request.once('close', cut);
  });
}

/** No answer of a colony is for a cache, and none is anything else than it says. */
const always = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' };

/** Resolves when the reply is handed over or its reader is gone. */
export async function writeReply(
  response: ServerResponse,
  { status, headers, body }: HttpReply,
  more: Readonly<Record<string, string>>,
): Promise<void> {
  const head = { ...always, ...headers, ...more };
  if (body === undefined || typeof body === 'string') {
    const text = body ?? '';
    response.writeHead(status, { ...head, 'content-length': Buffer.byteLength(text) });
    await ended(response, text);
    return;
  }
  response.writeHead(status, head);
  for await (const piece of body) {
    if (response.destroyed) return;
    if (!response.write(piece)) await Promise.race([once(response, 'drain'), once(response, 'close')]);
  }
  await ended(response);
}

/** Node says `close` of a response that went out whole, and of one whose connection broke. */
async function ended(response: ServerResponse, rest = ''): Promise<void> {
  if (response.destroyed) return;
  await new Promise<void>((resolve) => {
    response.once('close', resolve);
    response.end(rest);
  });
}

/** RFC 9457. `type` is the reason: there are no other codes. */
export function sayProblem({ kind, reason, message, next, where }: CoralError): HttpReply {
  const status = httpStatusFor(kind);
  const problem = {
    type: `urn:coral:error:${reason}`,
    title: kind,
    status,
    detail: message,
    reason,
    ...(next === undefined ? {} : { next }),
    ...(where === undefined ? {} : { where }),
  };
  return { status, headers: { 'content-type': 'application/problem+json' }, body: JSON.stringify(problem) };
}
