/** What an OTLP exporter is answered: success, partial success, or google.rpc.Status, in the encoding of the request. */
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { grpcCodeFor, httpStatusFor, type CoralError } from '@coral/errors';
import { otlp } from '@coral/rpc';
import { isRetryable, retryAfterMs } from './ingest.errors.js';
import type { Accepted } from './intake.js';
import type { Encoding, Signal } from './request-reader.js';

export function encodeAccepted(signal: Signal, encoding: Encoding, accepted: Accepted): Buffer {
  const { rejected, message } = accepted;
  const some = rejected > 0 || message !== '';
  switch (signal) {
    case 'traces':
      return encode(
        encoding,
        otlp.ExportTraceServiceResponse,
        otlp.ExportTraceServiceResponse.fromPartial(
          some ? { partialSuccess: { rejectedSpans: rejected, errorMessage: message } } : {},
        ),
      );
    case 'metrics':
      return encode(
        encoding,
        otlp.ExportMetricsServiceResponse,
        otlp.ExportMetricsServiceResponse.fromPartial(
          some ? { partialSuccess: { rejectedDataPoints: rejected, errorMessage: message } } : {},
        ),
      );
    case 'logs':
      return encode(
        encoding,
        otlp.ExportLogsServiceResponse,
        otlp.ExportLogsServiceResponse.fromPartial(
          some ? { partialSuccess: { rejectedLogRecords: rejected, errorMessage: message } } : {},
        ),
      );
  }
}

interface Codec<T> {
  encode(message: T): { finish(): Uint8Array };
  toJSON(message: T): unknown;
}

function encode<T>(encoding: Encoding, codec: Codec<T>, message: T): Buffer {
  return Buffer.from(encoding === 'json' ? JSON.stringify(codec.toJSON(message)) : codec.encode(message).finish());
}

/** HTTP status of a refusal. Exporters retry 429, 502, 503 and 504 only (OTLP 1.9, "Failures"). */
export function otlpHttpStatus(error: CoralError): number {
  if (error.reason === 'body_too_large') return 413;
  return error.kind === 'internal' ? 503 : httpStatusFor(error.kind);
}

const retryInfoType = 'type.googleapis.com/google.rpc.RetryInfo';

/** google.rpc.Status (googleapis, google/rpc/status.proto: code = 1, message = 2, details = 3). */
export function encodeStatus(encoding: Encoding, error: CoralError): Buffer {
  const code = grpcCodeFor(error.kind);
  const message = statusMessage(error);
  if (encoding === 'json') {
    const delay = { '@type': retryInfoType, retryDelay: `${retryAfterMs / 1_000}s` };
    return Buffer.from(JSON.stringify({ code, message, ...(isRetryable(error) ? { details: [delay] } : {}) }));
  }
  const writer = new BinaryWriter().uint32(8).int32(code).uint32(18).string(message);
  if (isRetryable(error)) {
    // Any: type_url = 1, value = 2; RetryInfo: retry_delay = 1; Duration: seconds = 1.
    const duration = new BinaryWriter()
      .uint32(8)
      .int64(retryAfterMs / 1_000)
      .finish();
    const retryInfo = new BinaryWriter().uint32(10).bytes(duration).finish();
    const any = new BinaryWriter().uint32(10).string(retryInfoType).uint32(18).bytes(retryInfo).finish();
    writer.uint32(26).bytes(any);
  }
  return Buffer.from(writer.finish());
}

export function statusMessage(error: CoralError): string {
  return error.next === undefined ? error.message : `${error.message} ${error.next}`;
}
