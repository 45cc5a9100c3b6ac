// Where a call comes from, written by the doors of ours and by nobody else.
import {
  experimental,
  ResponderBuilder,
  ServerCredentials,
  ServerInterceptingCall,
  ServerListenerBuilder,
  status,
  type Metadata,
  type ServerInterceptor,
} from '@grpc/grpc-js';
import { CoralError } from '@coral/errors';
import type { KeyId } from '@coral/model';
import { maxHeaderListBytes } from './limits.js';
import { toServiceError } from './service-error.js';

/** What handlers and logs see. Clients may send it; it is overwritten or removed at every door of ours. */
export const peerMetadataKey = 'x-coral-peer';

/** The far end of a mesh stream. */
export interface Origin {
  readonly peer: KeyId;
  /** Its address in the mesh. */
  readonly remoteAddress: string;
}

/** Only doors of ours write here, so metadata that merely looks right is worth nothing. */
const origins = new WeakMap<Metadata, Origin>();

/** The verified mesh key the call came from; undefined outside the mesh, whatever the metadata says. */
export function peerOf(metadata: Metadata): KeyId | undefined {
  return origins.get(metadata)?.peer;
}

/** Address of the caller without a port: in the mesh when it came through there, else that of its connection. */
export function remoteAddressOf(call: { metadata: Metadata; getPeer(): string }): string {
  return origins.get(call.metadata)?.remoteAddress ?? call.getPeer().replace(/:\d+$/, '');
}

/** Marks metadata as coming from there, or from outside the mesh. For doors, and for specs of what lies behind them. */
export function setOrigin(metadata: Metadata, origin: Origin | undefined): Metadata {
  metadata.remove(peerMetadataKey);
  origins.delete(metadata);
  if (origin !== undefined) {
    metadata.set(peerMetadataKey, origin.peer);
    origins.set(metadata, origin);
  }
  return metadata;
}

/** Plain credentials for an injector whose every call comes from `origin`. */
export function credentialsFor(origin: Origin | undefined): ServerCredentials {
  return experimental.createServerCredentialsWithInterceptors(ServerCredentials.createInsecure(), [door(origin)]);
}

function door(origin: Origin | undefined): ServerInterceptor {
  return (_method, call) => {
    const listener = new ServerListenerBuilder()
      .withOnReceiveMetadata((metadata, next) => {
        if (headerListBytes(metadata) <= maxHeaderListBytes) next(setOrigin(metadata, origin));
        else call.sendStatus({ code: status.RESOURCE_EXHAUSTED, details: '', ...toServiceError(headersTooLarge()) });
      })
      .build();
    return new ServerInterceptingCall(call, new ResponderBuilder().withStart((next) => next(listener)).build());
  };
}

/** As HTTP/2 counts them (RFC 9113 §6.5.2). Node itself ends the whole connection only somewhere above 128 KiB. */
function headerListBytes(metadata: Metadata): number {
  let bytes = 0;
  for (const [name, values] of Object.entries(metadata.toHttp2Headers())) {
    for (const value of [values].flat()) bytes += name.length + String(value).length + 32;
  }
  return bytes;
}

function headersTooLarge(): CoralError {
  return new CoralError({
    kind: 'resource_exhausted',
    reason: 'headers_too_large',
    message: `The headers of the call are larger than ${maxHeaderListBytes} bytes.`,
    next: 'Send less metadata.',
  });
}
