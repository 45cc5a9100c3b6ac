import type { CoralError } from '@coral/errors';
import { maxLineBytes, type Line } from './line-reader.js';

export type RequestId = string | number;

interface Sent {
  /** As they came. */
  bytes: Buffer;
  method: string;
  params: Record<string, unknown>;
}

/** What a client wrote on one line. Whether it makes sense is the colony's to say; here it is only told what goes where. */
export type ClientMessage =
  | (Sent & { kind: 'request'; id: RequestId })
  | (Sent & { kind: 'notification' })
  | { kind: 'response'; bytes: Buffer }
  /** `answer` is the JSON-RPC error for it. */
  | { kind: 'refused'; answer: string };

const parseError = -32_700;
const invalidRequest = -32_600;
/** JSON-RPC's word for trouble on the way; `data` says which. */
const internalError = -32_603;

/** Refuses what the colony's own doors refuse, in the same words, without asking for a lease. */
export function readMessage(line: Line): ClientMessage {
  if (line === 'too_long') return refused(null, invalidRequest, `The message is larger than ${maxLineBytes} bytes.`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(line));
  } catch {
    return refused(null, parseError, 'The message is not JSON in UTF-8.');
  }
  if (!isObject(value)) {
    return refused(null, invalidRequest, 'The message is not one JSON-RPC object; batches are not served.');
  }
  const { id, method } = value;
  const isId = typeof id === 'string' || typeof id === 'number';
  if (typeof method === 'string') {
    const sent: Sent = { bytes: line, method, params: isObject(value['params']) ? value['params'] : {} };
    if (isId) return { kind: 'request', id, ...sent };
    if (!('id' in value)) return { kind: 'notification', ...sent };
  } else if (isId && ('result' in value || 'error' in value)) {
    return { kind: 'response', bytes: line };
  }
  const message = 'The message is neither a request, nor a notification, nor a response.';
  return refused(isId ? id : null, invalidRequest, message);
}

/** The answer to a request that could not be carried out on the way. Our error's words stand in `data`. */
export function failedRequest(id: RequestId, { kind, reason, message, next, where }: CoralError): string {
  return errorLine(id, internalError, message, { error: { kind, reason, message, next, where } });
}

/** For a request whose id another one has that is under way: told to nobody, or the client would take it for the other's answer. */
export function idInUse(id: RequestId): string {
  return errorLine(
    null,
    invalidRequest,
    `A request with the id ${JSON.stringify(id)} is under way; this one was not sent.`,
  );
}

export interface Told {
  /** One line: raw newlines are only ever space between the tokens of JSON. */
  line: string;
  value: Record<string, unknown>;
  /** Set when it is a response; null: to nobody in particular. */
  answers: RequestId | null | undefined;
}

/** What a colony said; undefined when it is no JSON-RPC message. */
export function readTold(text: string): Told | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(value) || value['jsonrpc'] !== '2.0') return undefined;
  const isResponse = 'result' in value || 'error' in value;
  if (!isResponse && typeof value['method'] !== 'string') return undefined;
  const id = value['id'];
  const answers = typeof id === 'string' || typeof id === 'number' ? id : null;
  return { line: text.replaceAll(/[\r\n]+/g, ' '), value, answers: isResponse ? answers : undefined };
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function refused(id: RequestId | null, code: number, message: string): ClientMessage {
  return { kind: 'refused', answer: errorLine(id, code, message) };
}

function errorLine(id: RequestId | null, code: number, message: string, data?: object): string {
  return JSON.stringify({ jsonrpc: '2.0', id, error: { code, message, data } });
}
