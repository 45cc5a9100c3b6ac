import { lstat } from 'node:fs/promises';
import { credentials } from '@grpc/grpc-js';
import { CoralError } from '@coral/errors';
import type { Duration } from '@coral/model';
import { callUnary, colonyV1, durationToProto, grpcClientOptions } from '@coral/rpc';
import { colonyDeadlineMs } from './colony-api.js';

/** Acts of the colony's administrator, by the Unix socket that only the colony's own user may open. */
export interface AdminApi extends Disposable {
  createApiToken(request: {
    userId: string;
    ttl: Duration | undefined;
    note: string;
  }): Promise<colonyV1.CreateApiTokenResponse>;
  createJoinToken(request: {
    owner: string;
    labels: Record<string, string>;
    ttl: Duration | undefined;
  }): Promise<colonyV1.CreateJoinTokenResponse>;
  listAgents(): Promise<colonyV1.PermanentAgent[]>;
}

export async function openAdmin(socket: string): Promise<AdminApi> {
  await assertSocket(socket);
  const client = new colonyV1.AdminServiceClient(`unix:${socket}`, credentials.createInsecure(), {
    ...grpcClientOptions,
    // A Unix socket has no name; without this grpc-js sends its path as the authority.
    'grpc.default_authority': 'localhost',
  });
  const options = { deadlineMs: colonyDeadlineMs };
  return {
    createApiToken: ({ userId, ttl, note }) =>
      callUnary(
        client,
        client.createApiToken,
        { userId, note, ttl: ttl === undefined ? undefined : durationToProto(ttl) },
        options,
      ),
    createJoinToken: ({ owner, labels, ttl }) =>
      callUnary(
        client,
        client.createJoinToken,
        { owner, labels, ttl: ttl === undefined ? undefined : durationToProto(ttl) },
        options,
      ),
    listAgents: async () => (await callUnary(client, client.listAgents, {}, options)).agents,
    [Symbol.dispose]: () => client.close(),
  };
}

async function assertSocket(socket: string): Promise<void> {
  try {
    if ((await lstat(socket)).isSocket()) return;
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === 'EACCES') {
      throw new CoralError({
        kind: 'permission_denied',
        reason: 'not_administrator',
        where: socket,
        message: 'Only the user that the colony runs as may give it administrator commands.',
        next: 'Run this as that user, for example with sudo -u.',
        cause,
      });
    }
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw cause;
  }
  throw new CoralError({
    kind: 'unavailable',
    reason: 'no_admin_socket',
    where: socket,
    message: 'No colony listens for its administrator there.',
    next: "Run this on the colony's machine while it runs, or name its socket: --admin-socket <path>.",
  });
}
