import { ProtocolError, SdkError, SdkErrorCode } from '@modelcontextprotocol/client';
import { CoralError, errorKinds, toCoralError, type ErrorKind } from '@coral/errors';

/** Everything the MCP client may throw, as one of ours: a CoralError that was wrapped on the way comes out again. */
export function toCallError(thrown: unknown, signal: AbortSignal | undefined): CoralError {
  const ours = findCoralError(thrown);
  if (ours) return ours;
  if (signal?.aborted) {
    return new CoralError({
      kind: 'cancelled',
      reason: 'cancelled',
      message: 'The call was cancelled.',
      cause: thrown,
    });
  }
  if (thrown instanceof ProtocolError) return fromProtocolError(thrown);
  if (thrown instanceof SdkError && thrown.code === SdkErrorCode.RequestTimeout) {
    return new CoralError({
      kind: 'deadline_exceeded',
      reason: 'mcp_deadline',
      message: 'The colony did not answer in time.',
      next: 'Ask for less: a shorter time range, or one service.',
      cause: thrown,
    });
  }
  if (thrown instanceof SdkError && closedCodes.has(thrown.code)) {
    return new CoralError({
      kind: 'cancelled',
      reason: 'connection_closed',
      message: 'The connection was closed while the call was under way.',
      cause: thrown,
    });
  }
  if (thrown instanceof SdkError && thrown.code === SdkErrorCode.EraNegotiationFailed) {
    return new CoralError({
      kind: 'failed_precondition',
      reason: 'mcp_revision',
      message: 'The colony does not speak the MCP revision this version of coral needs.',
      next: 'Compare the versions of coral and of the colony.',
      cause: thrown,
    });
  }
  return toCoralError(thrown);
}

const closedCodes = new Set<string>([SdkErrorCode.ConnectionClosed, SdkErrorCode.NotConnected]);

function findCoralError(thrown: unknown): CoralError | undefined {
  for (let at = thrown, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth += 1) {
    if (at instanceof CoralError) return at;
  }
  return undefined;
}

interface PublicError {
  kind: string;
  reason: string;
  message: string;
  next?: string;
  where?: string;
}

/** A JSON-RPC error: the request never became a tool call. Its `data` carries our own error when a colony sent it. */
function fromProtocolError(error: ProtocolError): CoralError {
  const data = (error.data ?? {}) as { error?: PublicError } & Partial<PublicError>;
  const told = data.error ?? data;
  if (isKind(told.kind) && typeof told.reason === 'string') {
    const { kind, reason, next, where } = told;
    return new CoralError({ kind, reason, message: told.message ?? error.message, next, where, cause: error });
  }
  const invalidParams = -32_602;
  return new CoralError({
    kind: error.code === invalidParams ? 'invalid_argument' : 'internal',
    reason: 'mcp_refused',
    message: `The colony refused the request: ${error.message}`,
    next: 'See what the colony offers with coral health, or compare the versions of coral and of the colony.',
    cause: error,
  });
}

function isKind(word: unknown): word is ErrorKind {
  return typeof word === 'string' && (errorKinds as string[]).includes(word);
}
