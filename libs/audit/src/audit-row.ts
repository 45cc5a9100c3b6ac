import { hash as digest } from 'node:crypto';
import { canonicalJson, quoted, type JsonValue } from './canonical-json.js';

/** What happened. `audit.*` rows are written by the log about itself. */
export type AuditKind =
  | 'tool_call.intent'
  | 'tool_call.outcome'
  | 'ephemeral.request_access'
  | 'ephemeral.release_access'
  | 'ephemeral.expired'
  | 'ephemeral.denied'
  | 'agent.enroll'
  | 'agent.refused'
  | 'auth.refused'
  | 'ask.transcript'
  | 'admin'
  | 'policy.loaded'
  | 'policy.refused'
  | 'colony.started'
  | 'colony.stopped'
  | 'audit.genesis'
  | 'audit.torn'
  | 'audit.recovered';

export interface AuditEntry {
  kind: AuditKind;
  /** Verified subject; null when nobody was verified. */
  user_id: string | null;
  agent_id: string | null;
  payload: Record<string, JsonValue>;
}

export interface AuditRow extends AuditEntry {
  /** 0 for the genesis row, then without gaps. */
  seq: number;
  /** UUID. */
  id: string;
  /** RFC 3339 UTC, milliseconds. */
  at: string;
  /** `hash` of the row before; 64 zeros in the genesis row. */
  prev: string;
  /** SHA-256 (hex) of the canonical JSON of every other field, `prev` included. */
  hash: string;
}

/** End of a verified stretch of the chain. */
export interface ChainHead {
  seq: number;
  hash: string;
}

/** What stands before the genesis row. */
export const beforeGenesis: ChainHead = { seq: -1, hash: '0'.repeat(64) };

/** Longer than any row the caps of payload.ts allow. Bytes, newline excluded. */
export const maxRowBytes = 8 * 1024 * 1024;

/**
 * Chains an entry (its payload already capped) to the head. `line` is {@link encodeRow} of the row; its keys are in order, so
 * `hash`, which is over everything else, has its place right behind `agent_id` and `at`. `id` and `at` are plain ASCII.
 */
export function sealRow(
  entry: AuditEntry,
  head: ChainHead,
  id: string,
  at: string,
  payloadText = canonicalJson(entry.payload),
): { row: AuditRow; line: string } {
  const { kind, user_id, agent_id, payload } = entry;
  const seq = head.seq + 1;
  const start = `{"agent_id":${agent_id === null ? 'null' : quoted(agent_id)},"at":"${at}",`;
  const user = user_id === null ? 'null' : quoted(user_id);
  const rest = `"id":"${id}","kind":"${kind}","payload":${payloadText},"prev":"${head.hash}","seq":${seq},"user_id":${user}}`;
  const hash = digest('sha256', start + rest);
  const row = { seq, id, at, kind, user_id, agent_id, payload, prev: head.hash, hash };
  return { row, line: `${start}"hash":"${hash}",${rest}\n` };
}

function lengthBeforeHash({ agent_id, at }: Pick<AuditRow, 'agent_id' | 'at'>): number {
  return `{"agent_id":${agent_id === null ? 'null' : quoted(agent_id)},"at":${quoted(at)},`.length;
}

/** One line of a segment, newline included. */
export function encodeRow(row: AuditRow): string {
  return `${canonicalJson({ ...row })}\n`;
}

function isRowShaped(value: unknown): value is AuditRow {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const row = value as Partial<Record<keyof AuditRow, unknown>>;
  const texts = [row.id, row.at, row.kind, row.prev, row.hash];
  const names = [row.user_id, row.agent_id];
  return (
    Number.isSafeInteger(row.seq) &&
    texts.every((text) => typeof text === 'string') &&
    names.every((name) => name === null || typeof name === 'string') &&
    typeof row.payload === 'object' &&
    row.payload !== null &&
    !Array.isArray(row.payload)
  );
}

export type DecodedRow = { row: AuditRow; problem?: undefined } | { row?: undefined; problem: string };

/**
 * How closely a row is looked at. `canonical`: its bytes are exactly its canonical form, and its hash fits. `hashed`: only the
 * latter, for readers that take in again what was written a moment ago: whoever changes a byte changes the hash.
 */
export type RowCheck = 'canonical' | 'hashed';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Reads one line (newline excluded). */
export function decodeRow(line: Uint8Array, check: RowCheck = 'canonical'): DecodedRow {
  let text: string;
  let value: unknown;
  try {
    text = utf8.decode(line);
    value = JSON.parse(text);
  } catch {
    return { problem: 'the line is not JSON' };
  }
  if (!isRowShaped(value)) return { problem: 'the line is not an audit row' };
  try {
    if (check === 'canonical' && canonicalJson({ ...value }) !== text) {
      return { problem: 'the line is not in canonical form' };
    }
    // In canonical form its place is known: what was hashed is the text without it.
    const before = lengthBeforeHash(value);
    const field = `"hash":${quoted(value.hash)},`;
    if (!text.startsWith(field, before)) return { problem: 'the line is not in canonical form' };
    const hashed = text.slice(0, before) + text.slice(before + field.length);
    if (digest('sha256', hashed) !== value.hash) return { problem: 'the hash does not fit the content' };
  } catch {
    return { problem: 'the line is nested deeper than any row' };
  }
  return { row: value };
}
