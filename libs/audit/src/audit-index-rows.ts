import type { AuditKind, AuditRow } from './audit-row.js';
import type { JsonValue } from './canonical-json.js';
import { noOutcome } from './audit-index.sql.js';

/** What an outcome adds to its call. */
interface CallEnd {
  size: number | null;
  success: boolean;
  error: string | null;
  elapsed: number | null;
}

interface Told {
  id: string;
  at: string;
  /** Empty: nobody was verified. */
  user: string;
  agent: string | null;
}

export interface CallRow extends Told, CallEnd {
  tool: string;
  /** JSON text. */
  args: string | null;
}

/** The end of a call whose intent is in the index already. */
export interface LateEnd extends CallEnd {
  intentSeq: number;
}

export interface LeaseRow extends Told {
  action: string;
  ttlSeconds: number | null;
  address: string | null;
  userAgent: string | null;
}

export interface TranscriptRow extends Told {
  question: string;
  answer: string | null;
  provider: string | null;
  model: string | null;
  toolCalls: string | null;
  tokensInput: number | null;
  tokensOutput: number | null;
}

/** What a stretch of the chain is in RFD 028's tables. */
export interface IndexRows {
  /** A call is one row: intent and outcome, or an outcome alone when the call was refused before there was an intent. */
  calls: CallRow[];
  /** Ids of the calls of this stretch whose outcome is not in it, by the number of their intent. */
  open: Map<number, string>;
  late: LateEnd[];
  leases: LeaseRow[];
  transcripts: TranscriptRow[];
}

type Payload = Record<string, JsonValue>;

export function indexRowsOf(rows: Iterable<AuditRow>): IndexRows {
  const found: IndexRows = { calls: [], open: new Map(), late: [], leases: [], transcripts: [] };
  const begun = new Map<number, CallRow>();
  for (const row of rows) {
    const { payload } = row;
    if (row.kind === 'tool_call.intent') {
      const call = { ...callOf(row), size: null, success: false, error: noOutcome, elapsed: null };
      begun.set(row.seq, call);
      found.calls.push(call);
    } else if (row.kind === 'tool_call.outcome') {
      const intentSeq = integer(payload['intent_seq']);
      const call = intentSeq === null ? undefined : begun.get(intentSeq);
      if (intentSeq === null) found.calls.push({ ...callOf(row), ...endOf(payload) });
      else if (call === undefined) found.late.push({ intentSeq, ...endOf(payload) });
      else {
        Object.assign(call, endOf(payload));
        begun.delete(intentSeq);
      }
    } else if (row.kind === 'ask.transcript') found.transcripts.push(transcriptOf(row));
    else if (isAboutLeases(row.kind)) found.leases.push(leaseOf(row));
  }
  for (const [seq, { id }] of begun) found.open.set(seq, id);
  return found;
}

const leaseKinds = 'ephemeral.';

function isAboutLeases(kind: AuditKind): boolean {
  return kind.startsWith(leaseKinds);
}

function toldBy({ id, at, user_id, agent_id }: AuditRow): Told {
  return { id, at, user: user_id ?? '', agent: agent_id };
}

function callOf(row: AuditRow): Told & Pick<CallRow, 'tool' | 'args'> {
  const { tool_name, tool_args } = row.payload;
  return { ...toldBy(row), tool: text(tool_name) ?? '', args: json(tool_args) };
}

function endOf({ outcome, error_message, error_reason, response_size_bytes, execution_time_ms }: Payload): CallEnd {
  const success = outcome === 'ok';
  return {
    size: integer(response_size_bytes),
    success,
    error: success ? null : (text(error_message) ?? text(error_reason) ?? text(outcome)),
    elapsed: integer(execution_time_ms),
  };
}

function leaseOf(row: AuditRow): LeaseRow {
  const { ttl_seconds, ip_address, user_agent } = row.payload;
  return {
    ...toldBy(row),
    action: row.kind.slice(leaseKinds.length),
    ttlSeconds: integer(ttl_seconds),
    address: text(ip_address),
    userAgent: text(user_agent),
  };
}

function transcriptOf(row: AuditRow): TranscriptRow {
  const { question, answer, llm_provider, llm_model, tool_calls, tokens_input, tokens_output } = row.payload;
  return {
    ...toldBy(row),
    question: text(question) ?? '',
    answer: text(answer),
    provider: text(llm_provider),
    model: text(llm_model),
    toolCalls: json(tool_calls),
    tokensInput: integer(tokens_input),
    tokensOutput: integer(tokens_output),
  };
}

function text(value: JsonValue | undefined): string | null {
  if (value === undefined || value === null) return null;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function json(value: JsonValue | undefined): string | null {
  return value === undefined ? null : JSON.stringify(value);
}

/** What fits into DuckDB's INTEGER; null for anything else. */
function integer(value: JsonValue | undefined): number | null {
  if (typeof value !== 'number' || Math.abs(value) > 0x7fff_ffff) return null;
  return Math.round(value);
}
