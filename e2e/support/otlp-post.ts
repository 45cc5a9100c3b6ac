import { randomBytes } from 'node:crypto';
import { kindFromGrpcCode, type ErrorKind } from '@coral/errors';

/** A server span as a test wants it; `over` replaces fields of its OTLP/JSON, also with nonsense. */
export interface SpanWish {
  service: string;
  endMs?: number;
  durationMs?: number;
  over?: Record<string, unknown>;
}

/** One ExportTraceServiceRequest in OTLP/JSON. */
export function tracesOf(wishes: readonly SpanWish[]): string {
  const resourceSpans = wishes.map(({ service, endMs = Date.now(), durationMs = 5, over = {} }) => ({
    resource: { attributes: [{ key: 'service.name', value: { stringValue: service } }] },
    scopeSpans: [
      {
        spans: [
          {
            traceId: randomBytes(16).toString('hex'),
            spanId: randomBytes(8).toString('hex'),
            name: 'GET /work',
            kind: 2,
            startTimeUnixNano: `${endMs - durationMs}000000`,
            endTimeUnixNano: `${endMs}000000`,
            attributes: [{ key: 'http.route', value: { stringValue: '/work' } }],
            ...over,
          },
        ],
      },
    ],
  }));
  return JSON.stringify({ resourceSpans });
}

export function several(count: number, wish: SpanWish): string {
  return tracesOf(Array.from({ length: count }, () => wish));
}

/** What an exporter is told. */
export interface OtlpAnswer {
  status: number;
  retryAfter: string | null;
  /** Of google.rpc.Status; `ok` for a 200. */
  kind: ErrorKind | 'ok';
  /** Of google.rpc.Status, or of a partial success; else empty. */
  message: string;
  /** Spans refused by a partial success. */
  rejected: number;
}

interface AnswerBody {
  code?: number;
  message?: string;
  partialSuccess?: { rejectedSpans?: string | number; errorMessage?: string };
}

export async function postTraces(
  otlpHttp: string,
  body: string | Buffer,
  headers: Record<string, string> = {},
): Promise<OtlpAnswer> {
  const response = await fetch(`http://${otlpHttp}/v1/traces`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : new Uint8Array(body),
  });
  const told = (await response.json()) as AnswerBody;
  const { partialSuccess } = told;
  return {
    status: response.status,
    retryAfter: response.headers.get('retry-after'),
    kind: response.status === 200 ? 'ok' : kindFromGrpcCode(told.code ?? -1),
    message: told.message ?? partialSuccess?.errorMessage ?? '',
    rejected: Number(partialSuccess?.rejectedSpans ?? 0),
  };
}

/** What exporters are told has no place for the reason: how often each was the reason so far, by the agent's metrics. */
export async function refusalsOf(agentOps: string): Promise<Map<string, number>> {
  const text = await (await fetch(`http://${agentOps}/metrics`)).text();
  const lines = [...text.matchAll(/^coral_agent_requests_refused_total\{reason="(\w+)"\} (\d+)$/gm)];
  return new Map(lines.map(([, reason, count]) => [String(reason), Number(count)]));
}
