/**
 * One table for every failure: what it is called, and how each door says it.
 * gRPC numbers: google.golang.org/grpc/codes (grpc/doc/statuscodes.md). HTTP: RFC 9110, body as RFC 9457.
 */
const table = {
  invalid_argument: { grpc: 3, http: 400, exit: 2 },
  permission_denied: { grpc: 7, http: 403, exit: 3 },
  unauthenticated: { grpc: 16, http: 401, exit: 4 },
  provider_failed: { grpc: 2, http: 502, exit: 5 },
  unavailable: { grpc: 14, http: 503, exit: 6 },
  deadline_exceeded: { grpc: 4, http: 504, exit: 7 },
  partial: { grpc: 0, http: 200, exit: 8 },
  failed_precondition: { grpc: 9, http: 409, exit: 78 },
  not_found: { grpc: 5, http: 404, exit: 1 },
  resource_exhausted: { grpc: 8, http: 429, exit: 1 },
  internal: { grpc: 13, http: 500, exit: 1 },
  cancelled: { grpc: 1, http: 499, exit: 130 },
} as const;

export type ErrorKind = keyof typeof table;

export const errorKinds = Object.keys(table) as ErrorKind[];

export function grpcCodeFor(kind: ErrorKind): number {
  return table[kind].grpc;
}

export function httpStatusFor(kind: ErrorKind): number {
  return table[kind].http;
}

/** Process exit code of the CLI; `cancelled` is 130 for SIGINT, the CLI itself makes it 143 for SIGTERM. */
export function exitCodeFor(kind: ErrorKind): number {
  return table[kind].exit;
}

/** What a gRPC status means to us. Codes that only libraries raise (UNKNOWN, DATA_LOSS, …) are `internal`. */
export function kindFromGrpcCode(code: number): ErrorKind {
  const found = errorKinds.find(
    (kind) => table[kind].grpc === code && kind !== 'partial' && kind !== 'provider_failed',
  );
  return found ?? 'internal';
}
