import type { Server, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import { ServerGrpc } from '@nestjs/microservices';
import type { CustomTransportStrategy } from '@nestjs/microservices';
import { grpcPackage } from '@coral/rpc';

const protoPackage = 'coral.colony.v1';

/** Stands where a request could not be decoded, so that the refusal has our words and not grpc-js's INTERNAL. */
export class MalformedMessage {
  readonly problem: string;
  constructor(problem: string) {
    this.problem = problem;
  }
}

/**
 * Nest's gRPC transport without its socket: handlers are found and wrapped as ever, but the calls come in through a
 * server whose doors (public TLS port, mesh, admin socket) are opened elsewhere. Only the services named here are
 * answered, whatever controllers the application has: this is what keeps the doors apart.
 */
export class GrpcStrategy extends ServerGrpc implements CustomTransportStrategy {
  private readonly server: Server;

  constructor(server: Server, services: Record<string, ServiceDefinition>) {
    const tolerant = Object.fromEntries(
      Object.entries(services).map(([name, service]) => [`${protoPackage}.${name}`, decodeTolerantly(service)]),
    );
    super({ package: protoPackage, packageDefinition: grpcPackage(tolerant) });
    this.server = server;
  }

  override createClient(): Promise<Server> {
    return Promise.resolve(this.server);
  }

  /** The doors close the server: they know what is still being answered. */
  override close(): Promise<void> {
    return Promise.resolve();
  }
}

function decodeTolerantly(service: ServiceDefinition): ServiceDefinition<UntypedServiceImplementation> {
  return Object.fromEntries(
    Object.entries(service).map(([method, definition]) => {
      const decode = (bytes: Buffer): unknown => {
        try {
          return definition.requestDeserialize(bytes);
        } catch (thrown) {
          return new MalformedMessage(thrown instanceof Error ? thrown.message : String(thrown));
        }
      };
      return [method, { ...definition, requestDeserialize: decode }];
    }),
  );
}
