export {
  directHandshakeTimeoutMs,
  maxDirectConnections,
  openDirectMesh,
  type DirectMesh,
  type DirectMeshOptions,
  type RefusalReason,
} from './direct/direct-mesh.js';
export type { DirectIdentity } from './direct/direct-dial.js';
export {
  forwardDrops,
  type DeniedForward,
  type ForwardDrop,
  type ForwardingRule,
  type ForwardProtocol,
  type HubCounters,
} from './hub/forwarding.types.js';
export type { ListenOptions, Mesh, MeshListener, MeshSocket, Peer, WireGuardPeer } from './mesh.js';
export { defaultDialTimeoutMs, sweepEveryMs } from './mesh.limits.js';
export { maxPeers } from './userspace/peer-slots.js';
export { SharedClock } from './userspace/shared-clock.js';
export { openUserspaceMesh } from './userspace/userspace-mesh.js';
export {
  defaultMeshMtu,
  type MeshCounters,
  type MeshEvent,
  type MeshRelay,
  type PeerStatus,
  type UserspaceMesh,
  type UserspaceMeshOptions,
} from './userspace/userspace-mesh.types.js';
