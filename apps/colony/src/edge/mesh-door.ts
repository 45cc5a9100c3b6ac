import type { Server } from '@grpc/grpc-js';
import type { Mesh } from '@coral/mesh';
import { MeshGrpcServer } from '@coral/rpc';
import type { HttpDoor } from '../http/http-door.js';
import { mcpGrpcPort, mcpHttpPort } from './mesh-ports.js';

/** Inside the mesh: the tools for leases over gRPC and HTTP, the intake of summaries for agents. */
export interface MeshDoor {
  close(graceMs: number): Promise<void>;
}

export async function openMeshDoor(server: Server, http: HttpDoor, mesh: Mesh): Promise<MeshDoor> {
  const meshServer = new MeshGrpcServer(server);
  const listeners = [
    await mesh.listen(mcpGrpcPort, meshServer.serve),
    await mesh.listen(mcpHttpPort, (socket) => http.accept(socket, socket)),
  ];
  return {
    close: async (graceMs) => {
      await Promise.all(listeners.map((listener) => listener.close()));
      await Promise.all([meshServer.close(graceMs), http.close(graceMs)]);
    },
  };
}
