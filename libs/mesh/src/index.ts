export {
  defaultDialTimeoutMs,
  directHandshakeTimeoutMs,
  maxDirectConnections,
  openDirectMesh,
  sweepEveryMs,
  type DirectMesh,
  type DirectMeshOptions,
  type RefusalReason,
} from './direct-mesh.js';
export type { DirectIdentity } from './direct-dial.js';
export type { Mesh, MeshListener, MeshSocket, Peer } from './mesh.js';
