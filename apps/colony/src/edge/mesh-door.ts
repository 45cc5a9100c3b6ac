import type { Server } from '@grpc/grpc-js';
import type { Mesh } from '@coral/mesh';
import { MeshGrpcServer } from '@coral/rpc';
import { mcpGrpcPort } from './mesh-ports.js';

/** gRPC inside the mesh: the tools for leases, the intake of summaries for agents. */
export interface MeshDoor {
  close(graceMs: number): Promise<void>;
}

export async function openMeshDoor(server: Server, mesh: Mesh): Promise<MeshDoor> {
  const meshServer = new MeshGrpcServer(server);
  const listener = await mesh.listen(mcpGrpcPort, meshServer.serve);
  return {
    close: async (graceMs) => {
      await listener.close();
      await meshServer.close(graceMs);
    },
  };
}
