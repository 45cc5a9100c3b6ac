import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Break, ScriptedReply } from './scripted-model.js';

/** One event of a stream, as text with its empty line. */
export interface WireEvent {
  text: string;
  /** What it is a delta of, if it carries any of it: there a {@link Break} strikes. */
  delta?: Break['in'];
}

/** Writes the events as one event stream and breaks it where the reply says. */
export async function playReply(
  response: ServerResponse,
  events: Iterable<WireEvent>,
  reply: ScriptedReply,
  o: { headers?: Record<string, string>; errorEvent: (type: string, message: string) => string },
): Promise<void> {
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
    ...o.headers,
  });
  let { hold } = reply;
  for (const { text, delta } of events) {
    if (response.destroyed) return;
    await write(response, text, reply.byteByByte === true);
    if (hold !== undefined && delta === hold.in) {
      await Promise.race([hold.until, once(response, 'close')]);
      hold = undefined;
    }
    if (reply.break === undefined || delta !== reply.break.in) continue;
    await breakOff(response, reply.break.by, o.errorEvent);
    return;
  }
  response.end();
}

/** In two, or more, so that no piece is the whole; what is too short to cut stays whole. */
export function cutInPieces(text: string, most = 3): string[] {
  const characters = Array.from(text);
  const size = Math.max(1, Math.ceil(characters.length / most));
  const pieces: string[] = [];
  for (let at = 0; at < characters.length; at += size) pieces.push(characters.slice(at, at + size).join(''));
  return pieces;
}

/** Roughly, as every tokenizer: four characters. */
export function countTokens(text: string): number {
  return Math.max(1, Math.ceil(text.length / 4));
}

async function breakOff(
  response: ServerResponse,
  by: Break['by'],
  errorEvent: (type: string, message: string) => string,
): Promise<void> {
  if (by === 'end') response.end();
  else if (by === 'silence') {
    if (!response.destroyed) await once(response, 'close');
  } else if (by === 'reset') {
    // Not before what was said is on its way: a reset would take it along.
    await new Promise<void>((resolve) => response.write('', () => resolve()));
    response.destroy();
  } else response.end(errorEvent(by.error, by.message ?? 'Scripted.'));
}

async function write(response: ServerResponse, text: string, byteByByte: boolean): Promise<void> {
  if (!byteByByte) {
    if (!response.write(text)) await drained(response);
    return;
  }
  response.socket?.setNoDelay(true);
  for (const byte of Buffer.from(text)) {
    response.write(Buffer.of(byte));
    await new Promise(setImmediate);
  }
}

/** Resolves when more may be written, or the peer has gone. */
export async function drained(response: ServerResponse): Promise<void> {
  if (response.destroyed) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const ready = (): void => resolve();
  response.on('drain', ready).on('close', ready);
  try {
    await promise;
  } finally {
    response.off('drain', ready).off('close', ready);
  }
}
