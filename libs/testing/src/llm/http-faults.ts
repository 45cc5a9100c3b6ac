import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { drained } from './play-reply.js';

/** Ways in which a server, or what stands before it, goes wrong without saying so in the provider's protocol. */
export type HttpFault =
  /** An error as the provider words it. `retryAfter`: the header as it is, seconds or a date. */
  | { fault: 'status'; status: number; message?: string; type?: string; retryAfter?: string; retryAfterMs?: string }
  /** An error that a proxy worded: a status with a page. */
  | { fault: 'page'; status: number }
  /** 200, but a web page: a captive portal, an address that is not the API. */
  | { fault: 'html' }
  /** 200 and JSON where a stream was asked for. */
  | { fault: 'json' }
  | { fault: 'redirect'; status?: 301 | 302 | 303 | 307 | 308; to: string }
  /** The request is taken, nothing is ever said. */
  | { fault: 'never_answers' }
  /** The connection is closed before an answer. */
  | { fault: 'hangs_up' }
  /** One byte at a time of an event that never ends. */
  | { fault: 'slow_loris'; everyMs?: number }
  /** Well-formed deltas of text without end. */
  | { fault: 'endless' }
  /** Signs of life without end, one `everyMs`. */
  | { fault: 'endless_pings'; everyMs?: number }
  /** One line of a stream, far longer than any answer. */
  | { fault: 'huge' }
  /** A status whose body does not end. */
  | { fault: 'huge_error'; status: number }
  /** An event whose data is no JSON. */
  | { fault: 'no_json' }
  /** A stream of nothing at all. */
  | { fault: 'empty' };

/** What only the provider's protocol knows. */
export interface Wording {
  /** The error body of a status, and headers that go with it. */
  error(status: number, o: { type?: string; message?: string }): { body: string; headers: Record<string, string> };
  /** Text of the events of a reply up to its first delta, then of one more delta. */
  opening(): string;
  delta(): string;
  /** An event, or a comment, that says only that the server lives. */
  ping(): string;
}

const page =
  '<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><h1>Welcome to the hotel</h1></body></html>\n';
const stream = { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' };

/** Plays the fault; returns when it is over, or the peer has gone. */
export async function playFault(fault: HttpFault, response: ServerResponse, words: Wording): Promise<void> {
  switch (fault.fault) {
    case 'status': {
      const { body, headers } = words.error(fault.status, fault);
      response.writeHead(fault.status, {
        'content-type': 'application/json',
        ...headers,
        ...(fault.retryAfter === undefined ? {} : { 'retry-after': fault.retryAfter }),
        ...(fault.retryAfterMs === undefined ? {} : { 'retry-after-ms': fault.retryAfterMs }),
      });
      response.end(body);
      return;
    }
    case 'page':
      response.writeHead(fault.status, { 'content-type': 'text/html' }).end(page);
      return;
    case 'html':
      response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(page);
      return;
    case 'json':
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"ok":true}');
      return;
    case 'redirect':
      response.writeHead(fault.status ?? 307, { location: fault.to }).end();
      return;
    case 'never_answers':
      await gone(response);
      return;
    case 'hangs_up':
      response.destroy();
      return;
    case 'slow_loris':
      response.writeHead(200, stream);
      await drip(response, fault.everyMs ?? 5, () => 'x', 'event: message_start\ndata: {"type":"mess');
      return;
    case 'endless':
      await pour(response, words.opening(), words.delta());
      return;
    case 'endless_pings':
      response.writeHead(200, stream);
      await drip(response, fault.everyMs ?? 5, () => words.ping(), words.opening());
      return;
    case 'huge':
      await pour(response, 'data: "', 'x'.repeat(256 * 1024));
      return;
    case 'huge_error':
      response.writeHead(fault.status, { 'content-type': 'application/json' });
      await flow(response, '{"type":"error","error":{"type":"api_error","message":"', 'x'.repeat(16 * 1024));
      return;
    case 'no_json':
      response.writeHead(200, stream).end(`${words.opening()}event: content_block_delta\ndata: {"type": oops\n\n`);
      return;
    case 'empty':
      response.writeHead(200, stream).end();
      return;
  }
}

async function pour(response: ServerResponse, first: string, piece: string): Promise<void> {
  response.writeHead(200, stream);
  await flow(response, first, piece);
}

/** As fast as the peer reads, until it goes. */
async function flow(response: ServerResponse, first: string, piece: string): Promise<void> {
  response.write(first);
  while (!response.destroyed) {
    if (!response.write(piece)) await drained(response);
    // A peer that has gone is noticed between turns of the event loop only.
    else await new Promise(setImmediate);
  }
}

async function drip(response: ServerResponse, everyMs: number, piece: () => string, first: string): Promise<void> {
  response.write(first);
  const timer = setInterval(() => response.write(piece()), everyMs);
  await gone(response);
  clearInterval(timer);
}

async function gone(response: ServerResponse): Promise<void> {
  if (!response.destroyed) await once(response, 'close');
}
