import { CoralError } from '@coral/errors';
import { formatDuration } from '@coral/model';

/** How long a refused exporter should wait; sent as Retry-After and google.rpc.RetryInfo. */
export const retryAfterMs = 2_000;

export function malformedBody(problem: string): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'malformed_body',
    message: `The body is not an OTLP request: ${problem}.`,
    next: 'Send what an OpenTelemetry exporter sends for this signal, in the encoding that Content-Type names.',
  });
}

export function bodyTooLarge(limit: number): CoralError {
  return new CoralError({
    kind: 'resource_exhausted',
    reason: 'body_too_large',
    message: `The request is larger than ${limit} bytes, before or after inflating.`,
    next: 'Lower the exporter’s batch size, or raise limits.max_body of the agent.',
  });
}

export function agentBusy(limit: number): CoralError {
  return new CoralError({
    kind: 'resource_exhausted',
    reason: 'agent_busy',
    message: `More than ${limit} bytes of telemetry wait for the disk.`,
    next: `Send it again in ${formatDuration(retryAfterMs)}; exporters do so by themselves.`,
  });
}

export function storeFull(maxBytes: number): CoralError {
  return new CoralError({
    kind: 'resource_exhausted',
    reason: 'store_full',
    message: `The hot window alone holds more than ${maxBytes} bytes.`,
    next: 'Raise retention.max_bytes or shorten retention.hot_window of the agent.',
  });
}

export function notDurable(cause: unknown): CoralError {
  return new CoralError({
    kind: 'unavailable',
    reason: 'not_durable',
    message: 'The telemetry could not be written to disk, so it was not accepted.',
    next: 'Exporters send it again by themselves; look at the agent’s log and at the free space of its data_dir.',
    cause,
  });
}

export function diskLow(free: number, needed: number): CoralError {
  return new CoralError({
    kind: 'unavailable',
    reason: 'disk_low',
    message: `Only ${free} bytes are free where the agent keeps its data; it wants ${needed}.`,
    next: 'Free some space, shorten retention.max_age, or lower limits.min_free_disk.',
  });
}

export function agentStopping(): CoralError {
  return new CoralError({
    kind: 'unavailable',
    reason: 'agent_stopping',
    message: 'The agent is stopping.',
    next: 'Exporters send it again by themselves.',
  });
}

/** True when sending the same bytes again may succeed. */
export function isRetryable(error: CoralError): boolean {
  if (error.reason === 'body_too_large') return false;
  return error.kind === 'unavailable' || error.kind === 'resource_exhausted' || error.kind === 'internal';
}
