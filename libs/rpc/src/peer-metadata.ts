import {
  experimental,
  ResponderBuilder,
  ServerCredentials,
  ServerInterceptingCall,
  ServerListenerBuilder,
  type Metadata,
  type ServerInterceptor,
} from '@grpc/grpc-js';
import type { KeyId } from '@coral/model';

/** What handlers and logs see. Clients may send it; it is overwritten or removed at every door of ours. */
export const peerMetadataKey = 'x-coral-peer';

/** Only doors of ours write here, so a value that merely looks right is worth nothing. */
const proven = new WeakMap<Metadata, KeyId>();

/** The verified mesh key the call came from; undefined outside the mesh, whatever the metadata says. */
export function peerOf(metadata: Metadata): KeyId | undefined {
  return proven.get(metadata);
}

/** Marks metadata as coming from that peer. For doors (and the specs of what lies behind them) only. */
export function setPeer(metadata: Metadata, peer: KeyId | undefined): Metadata {
  metadata.remove(peerMetadataKey);
  proven.delete(metadata);
  if (peer !== undefined) {
    metadata.set(peerMetadataKey, peer);
    proven.set(metadata, peer);
  }
  return metadata;
}

/** Plain credentials for an injector whose every call comes from `peer`, or from nobody in the mesh. */
export function credentialsFor(peer: KeyId | undefined): ServerCredentials {
  return experimental.createServerCredentialsWithInterceptors(ServerCredentials.createInsecure(), [stamp(peer)]);
}

function stamp(peer: KeyId | undefined): ServerInterceptor {
  const listener = new ServerListenerBuilder()
    .withOnReceiveMetadata((metadata, next) => next(setPeer(metadata, peer)))
    .build();
  const responder = new ResponderBuilder().withStart((next) => next(listener)).build();
  return (_method, call) => new ServerInterceptingCall(call, responder);
}
