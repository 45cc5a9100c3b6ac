import { join } from 'node:path';
import type { INestApplication } from '@nestjs/common';
import { Server } from '@grpc/grpc-js';
import type { ServiceDefinition } from '@grpc/grpc-js';
import type { CertificateAuthority } from '@coral/auth';
import type { Mesh } from '@coral/mesh';
import { colonyV1, grpcServerOptions } from '@coral/rpc';
import { openAdminDoor } from './admin-door.js';
import type { HttpDoors } from '../http/http-doors.js';
import type { BindPort, ListenAddress } from './bind-port.js';
import { GrpcStrategy } from './grpc-strategy.js';
import { openMeshDoor } from './mesh-door.js';
import { openPublicDoor } from './public-door.js';

/** What is answered where. A service stands behind one door only. */
const services = {
  public: {
    ColonyService: colonyV1.ColonyServiceService,
    EphemeralAgentService: colonyV1.EphemeralAgentServiceService,
    AgentEnrollmentService: colonyV1.AgentEnrollmentServiceService,
    TranscriptService: colonyV1.TranscriptServiceService,
  },
  mesh: { McpService: colonyV1.McpServiceService, TelemetryService: colonyV1.TelemetryServiceService },
  admin: { AdminService: colonyV1.AdminServiceService },
} satisfies Record<string, Record<string, ServiceDefinition>>;

export interface DoorOptions {
  dataDirectory: string;
  listen: ListenAddress;
  ports: BindPort;
  ca: CertificateAuthority;
  mesh: Mesh;
  http: HttpDoors;
  /** Names for the certificate of the public door. */
  names: readonly string[];
  /** Told host:port of the public door before anybody can come in through it. */
  announce(endpoint: string): void;
}

/** The colony's three doors: to the world, to the mesh, to its administrator. */
export class Doors {
  private readonly servers = {
    public: new Server(grpcServerOptions),
    mesh: new Server(grpcServerOptions),
    admin: new Server(grpcServerOptions),
  };
  private readonly open: { close(graceMs: number): Promise<void> }[] = [];

  /** Hands the controllers of the application to the servers; guards and filters of the application come along. */
  async connect(app: INestApplication): Promise<void> {
    for (const door of ['public', 'mesh', 'admin'] as const) {
      const strategy = new GrpcStrategy(this.servers[door], services[door]);
      app.connectMicroservice({ strategy }, { inheritAppConfig: true });
    }
    await app.startAllMicroservices();
  }

  /** The public one last: who gets in there may use the others. Returns host:port of it. */
  async openAll(options: DoorOptions): Promise<string> {
    this.open.push(await openAdminDoor(this.servers.admin, join(options.dataDirectory, 'admin.sock')));
    const { http } = options;
    this.open.push(await openMeshDoor(this.servers.mesh, http.mesh, options.mesh));
    const door = await openPublicDoor(this.servers.public, { ...options, http: http.public });
    this.open.push(door);
    return door.endpoint;
  }

  /** Takes nobody new; who is being served has `graceMs`. */
  async close(graceMs: number): Promise<void> {
    await Promise.all(this.open.toReversed().map((door) => door.close(graceMs)));
    for (const server of Object.values(this.servers)) server.forceShutdown();
  }
}
