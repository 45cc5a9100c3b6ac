import type { Server } from '@grpc/grpc-js';
import type { MeshSocket } from '@coral/mesh';
import { closeGraceMs } from './limits.js';
import { credentialsFor } from './call-origin.js';

/**
 * Serves one grpc-js server over mesh streams: `mesh.listen(port, meshServer.serve)`. Every call carries the key the mesh
 * proved ({@link peerOf}). The grpc server itself stays its owner's, to shut down.
 */
export class MeshGrpcServer {
  readonly #server: Server;
  readonly #open = new Map<MeshSocket, () => void>();
  #closed = false;

  constructor(server: Server) {
    this.#server = server;
  }

  readonly serve = (socket: MeshSocket): void => {
    if (this.#closed) {
      socket.destroy();
      return;
    }
    // One injector a connection: it is the only place where grpc-js lets us say who a connection belongs to.
    const injector = this.#server.createConnectionInjector(credentialsFor(socket));
    // destroy() says GOAWAY and lets calls finish. drain() would end them as CANCELLED, as if the client had wished it.
    this.#open.set(socket, () => injector.destroy());
    socket.once('close', () => {
      this.#open.delete(socket);
      injector.destroy();
    });
    injector.injectConnection(socket);
  };

  /** Takes no new streams, tells the others to finish, and cuts what still runs after `graceMs`. */
  async close(graceMs = closeGraceMs): Promise<void> {
    this.#closed = true;
    const closed = [...this.#open].map(async ([socket, drain]) => {
      const gone = new Promise((resolve) => socket.once('close', resolve));
      drain();
      const late = setTimeout(() => socket.destroy(), graceMs);
      await gone;
      clearTimeout(late);
    });
    await Promise.all(closed);
  }
}

/** One connection, without a {@link MeshGrpcServer} to close it: it lives as long as its socket. */
export function serveConnection(server: Server, socket: MeshSocket): void {
  new MeshGrpcServer(server).serve(socket);
}
