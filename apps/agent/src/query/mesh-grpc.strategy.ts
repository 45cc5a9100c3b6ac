import { Server } from '@grpc/grpc-js';
import { ServerGrpc, type CustomTransportStrategy } from '@nestjs/microservices';
import type { Mesh, MeshListener } from '@coral/mesh';
import { agentV1, grpcPackage, grpcServerOptions, MeshGrpcServer } from '@coral/rpc';

/** Nest's gRPC transport over the mesh: no socket is bound, and every call carries the key that the mesh proved. */
export class MeshGrpcStrategy extends ServerGrpc implements CustomTransportStrategy {
  private readonly mesh: Mesh;
  private readonly meshPort: number;
  private readonly server = new Server(grpcServerOptions);
  private readonly doors = new MeshGrpcServer(this.server);
  private listener: MeshListener | undefined;

  constructor(mesh: Mesh, meshPort: number) {
    const services = { 'coral.agent.v1.AgentService': agentV1.AgentServiceService };
    super({ package: 'coral.agent.v1', packageDefinition: grpcPackage(services) });
    this.mesh = mesh;
    this.meshPort = meshPort;
  }

  override createClient(): Promise<Server> {
    return Promise.resolve(this.server);
  }

  override async start(callback?: () => void): Promise<void> {
    await this.bindEvents();
    this.listener = await this.mesh.listen(this.meshPort, this.doors.serve);
    callback?.();
  }

  override async close(): Promise<void> {
    await this.listener?.close();
    await this.doors.close();
    this.server.forceShutdown();
  }
}
