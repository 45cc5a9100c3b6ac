export * as colonyV1 from './colony-v1.js';
export * as agentV1 from './gen/coral/agent/v1/agent.js';
export * as otlp from './otlp.js';
export { callServerStream, callUnary, type RpcOptions } from './call.js';
export { grpcPackage } from './grpc-package.js';
export {
  closeGraceMs,
  defaultDeadlineMs,
  grpcClientOptions,
  grpcServerOptions,
  handshakeTimeoutMs,
  maxConcurrentStreams,
  maxHeaderListBytes,
  maxMessageBytes,
  maxTlsConnections,
} from './limits.js';
export { splitEndpoint } from './endpoint.js';
export { joinMesh, type JoinedMesh, type JoinOptions } from './join-mesh.js';
export { checkMeshSettings, type CheckedMeshSettings } from './mesh-settings.js';
export { wireguardConfigText } from './wireguard-config.js';
export { maxSocketPathBytes, openMeshChannel, type MeshChannel } from './mesh-channel.js';
export { MeshGrpcServer, serveConnection } from './mesh-grpc-server.js';
export { peerMetadataKey, peerOf, remoteAddressOf, setOrigin, type Origin } from './call-origin.js';
export { fetchPinnedCa, pinnedCredentials, probeTimeoutMs } from './pinned-tls.js';
export { durationFromProto, durationToProto, timeFromProto, timeToProto } from './proto-values.js';
export { serveTls, type TlsIdentity, type TlsServer } from './serve-tls.js';
export { errorTrailerKey, fromServiceError, toServiceError, type FarEnd } from './service-error.js';
