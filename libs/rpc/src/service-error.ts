import { Metadata, status, type ServiceError } from '@grpc/grpc-js';
import { z } from 'zod';
import { CoralError, errorKinds, grpcCodeFor, kindFromGrpcCode, toCoralError, type ErrorKind } from '@coral/errors';

/** JSON of kind, reason, message, next and where: what a status code cannot say. */
export const errorTrailerKey = 'coral-error-bin';

const maxText = { message: 4_096, next: 1_024, where: 1_024 };
/** grpc-message is percent-encoded, up to nine bytes a character, and shares the 64 KiB of all trailers. */
const maxStatusMessage = 1_024;

const trailerSchema = z.object({
  kind: z.enum(errorKinds as [ErrorKind, ...ErrorKind[]]),
  reason: z.string().regex(/^[a-z][a-z0-9_]{0,63}$/),
  message: z.string().max(maxText.message),
  next: z.string().max(maxText.next).optional(),
  where: z.string().max(maxText.where).optional(),
});

/** What a gRPC handler hands to its callback. `cause` stays here. */
export function toServiceError(error: CoralError): Partial<ServiceError> {
  const clip = (text: string | undefined, length: number): string | undefined =>
    text === undefined ? undefined : text.toWellFormed().slice(0, length).toWellFormed();
  const metadata = new Metadata();
  const details: z.infer<typeof trailerSchema> = {
    kind: error.kind,
    reason: error.reason,
    message: clip(error.message, maxText.message) ?? '',
    next: clip(error.next, maxText.next),
    where: clip(error.where, maxText.where),
  };
  metadata.set(errorTrailerKey, Buffer.from(JSON.stringify(details)));
  // `partial` is an answer, and its code is OK; as an error it must not look like success.
  const code = grpcCodeFor(error.kind) || status.UNKNOWN;
  const message = clip(error.message, maxStatusMessage) ?? '';
  return { name: error.name, code, message, details: message, metadata };
}

export type FarEnd = 'colony' | 'agent';

/**
 * The error a call failed with, as the far end meant it when it is one of ours, else as well as the plain status tells.
 * `far` names who was called, for people and for the reason (`colony_unreachable`, `agent_unreachable`).
 */
export function fromServiceError(thrown: unknown, far: FarEnd = 'colony'): CoralError {
  if (thrown instanceof CoralError || !isServiceError(thrown)) return toCoralError(thrown);
  return fromTrailer(thrown) ?? fromStatus(thrown, far);
}

function isServiceError(thrown: unknown): thrown is ServiceError {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'number' && 'metadata' in thrown;
}

/** Whether the far end itself said what went wrong, in our words. */
export function hasDetails(thrown: unknown): boolean {
  return isServiceError(thrown) && fromTrailer(thrown) !== undefined;
}

function fromTrailer(error: ServiceError): CoralError | undefined {
  const [value] = error.metadata?.get(errorTrailerKey) ?? [];
  if (!Buffer.isBuffer(value)) return undefined;
  try {
    const details = trailerSchema.parse(JSON.parse(value.toString('utf8')));
    return new CoralError({ ...details, cause: error });
  } catch (cause) {
    // Whatever it was, it was not written by us: the plain status still counts.
    return cause instanceof SyntaxError || cause instanceof z.ZodError ? undefined : toCoralError(cause);
  }
}

function fromStatus(error: ServiceError, far: FarEnd): CoralError {
  const said = error.details === '' ? '' : ` (${error.details})`;
  const make = (kind: ErrorKind, reason: string, message: string, next?: string): CoralError =>
    new CoralError({ kind, reason, message, next, cause: error });
  switch (error.code) {
    case status.UNAVAILABLE:
      return untrusted(error, far) ?? unreachable(far, error.details, error);
    case status.DEADLINE_EXCEEDED:
      return make('deadline_exceeded', 'deadline', `The ${far} did not answer in time.`, 'Try again, or ask for less.');
    case status.CANCELLED:
      return make('cancelled', 'cancelled', 'The call was cancelled.');
    case status.UNIMPLEMENTED:
      return make(
        'failed_precondition',
        'not_supported',
        `The ${far} does not know this call${said}.`,
        `Upgrade the ${far}: it is older than this program.`,
      );
    case status.RESOURCE_EXHAUSTED:
      // grpc-js's own words, at either end, for a message beyond the limit.
      return /larger than/.test(error.details)
        ? make('resource_exhausted', 'message_too_large', `The message is too large${said}.`, 'Ask for less.')
        : make('resource_exhausted', 'resource_exhausted', `The ${far} has no room for it${said}.`, 'Try again later.');
    case status.UNAUTHENTICATED:
      return make('unauthenticated', 'unauthenticated', `The ${far} does not know the caller${said}.`, 'Log in again.');
    default: {
      const kind = kindFromGrpcCode(error.code);
      return make(kind, kind, `The ${far} answered with an error${said}.`);
    }
  }
}

export function unreachable(far: FarEnd, problem: string, cause: unknown): CoralError {
  return new CoralError({
    kind: 'unavailable',
    reason: `${far}_unreachable`,
    message: `The ${far} cannot be reached${problem === '' ? '' : ` (${problem})`}.`,
    next:
      far === 'colony'
        ? 'Check that the colony runs and that its endpoint is right (`coral colony list`).'
        : 'Check that the agent runs, and that its machine is up.',
    cause,
  });
}

const wrongCa =
  /^(SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT(_LOCALLY)?|CERT_SIGNATURE_FAILURE|INVALID_CA)$/;

/** A certificate that does not pass is no outage: {@link pinnedCredentials} leaves its code in the text as `[tls CODE]`. */
function untrusted(error: ServiceError, far: FarEnd): CoralError | undefined {
  const code = /\[tls ([A-Z_]+)\]/.exec(error.details)?.[1];
  if (code === undefined) return undefined;
  const make = (reason: string, message: string, next: string): CoralError =>
    new CoralError({ kind: 'unauthenticated', reason, message, next, cause: error });
  if (wrongCa.test(code)) {
    return make(
      'wrong_ca',
      `Whoever answers is not the ${far} that was pinned: its certificate is signed by another CA.`,
      "Compare the colony's ca_fingerprint with yours, and add it again if it was set up anew (`coral colony add`).",
    );
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return make(
      'wrong_name',
      `The ${far}'s certificate is for other names or addresses than the one dialled.`,
      "Use an endpoint its certificate names, or add this name to the colony's configuration.",
    );
  }
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID') {
    return make(
      'certificate_not_valid_now',
      `The ${far}'s certificate is not valid at this time (${code}).`,
      "Check this machine's clock; restart the colony to have it take a new certificate.",
    );
  }
  return undefined;
}
