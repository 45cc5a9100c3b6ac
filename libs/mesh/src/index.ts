export type { Mesh, MeshListener, MeshSocket, Peer } from './mesh.js';
