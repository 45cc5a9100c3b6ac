import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { ServerCredentials } from '@grpc/grpc-js';
import type { Server } from '@grpc/grpc-js';
import { CoralError } from '@coral/errors';
import { maxSocketPathBytes } from '@coral/rpc';

/** The administrator's door: a Unix socket that only the colony's own user may open. */
export interface AdminDoor {
  close(graceMs: number): Promise<void>;
}

export async function openAdminDoor(server: Server, path: string): Promise<AdminDoor> {
  if (Buffer.byteLength(path) > maxSocketPathBytes) throw pathTooLong(path);
  // Left by a colony that was killed; the lock of the control store says that nobody is behind it.
  rmSync(path, { force: true });
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const open = new Set<Socket>();
  const door = createServer((socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    socket.on('error', () => socket.destroy());
    injector.injectConnection(socket);
  });
  // The socket appears inside listen(), so it never exists with wider rights, not even for a moment.
  const before = process.umask(0o177);
  try {
    door.listen(path);
  } finally {
    process.umask(before);
  }
  await once(door, 'listening');
  return {
    close: async (graceMs) => {
      const closed = once(door, 'close');
      door.close();
      injector.drain(graceMs);
      const late = setTimeout(() => {
        for (const socket of open) socket.destroy();
      }, graceMs);
      await closed;
      clearTimeout(late);
      injector.destroy();
    },
  };
}

function pathTooLong(path: string): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'data_dir_too_long',
    where: path,
    message: `The administrator's socket would have a path of ${Buffer.byteLength(path)} bytes; ${maxSocketPathBytes} are possible.`,
    next: 'Choose a shorter `data_dir`.',
  });
}
