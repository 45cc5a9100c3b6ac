import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream';
import { CoralError, toCoralError } from '@coral/errors';
import type { Mesh } from '@coral/mesh';

/** sun_path holds 104 bytes on macOS and 108 on Linux, its end included. */
export const maxSocketPathBytes = 103;

export interface MeshChannel {
  /** For a grpc-js client with insecure credentials: the mesh below encrypts and knows the peer. */
  readonly target: string;
  /** Why the last dial failed; undefined once one has worked. gRPC itself says only "unavailable". */
  lastDialError(): CoralError | undefined;
  close(): Promise<void>;
}

/**
 * Lets a grpc-js client speak over `mesh.dial()`. grpc-js takes no ready stream, so it is handed a Unix socket in a fresh
 * 0700 directory, and each connection it makes there becomes one stream of the mesh. It reconnects by itself.
 */
export async function openMeshChannel(mesh: Mesh, address: string, port: number): Promise<MeshChannel> {
  const directory = await mkdtemp(join(tmpdir(), 'coral-'));
  const path = join(directory, 's');
  const open = new Set<Socket>();
  const closing = new AbortController();
  let lastDialError: CoralError | undefined;

  const forward = async (near: Socket): Promise<void> => {
    open.add(near);
    near.once('close', () => open.delete(near));
    try {
      const far = await mesh.dial(address, port, { signal: closing.signal });
      lastDialError = undefined;
      // Each direction ends by itself; whichever breaks takes the other with it.
      const both = (): void => {
        if (near.errored || far.errored) {
          near.destroy();
          far.destroy();
        }
      };
      pipeline(near, far, both);
      pipeline(far, near, both);
    } catch (error) {
      lastDialError = toCoralError(error);
      near.destroy();
    }
  };

  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (near) => {
    near.on('error', () => near.destroy());
    void forward(near);
  });
  try {
    if (Buffer.byteLength(path) > maxSocketPathBytes) throw pathTooLong(path);
    server.listen(path);
    await once(server, 'listening');
  } catch (error) {
    await rm(directory, { recursive: true });
    throw error;
  }
  return {
    target: `unix:${path}`,
    lastDialError: () => lastDialError,
    close: async () => {
      if (closing.signal.aborted) return;
      closing.abort();
      const closed = once(server, 'close');
      server.close();
      for (const socket of open) socket.destroy();
      await closed;
      await rm(directory, { recursive: true });
    },
  };
}

function pathTooLong(path: string): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'temp_path_too_long',
    where: path,
    message: `The path of a local socket would have ${Buffer.byteLength(path)} bytes; ${maxSocketPathBytes} are possible.`,
    next: 'Set TMPDIR to a shorter directory, for example /tmp.',
  });
}
