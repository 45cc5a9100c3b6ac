// For the specs of this folder: a real server, and two real ends of a mesh.
import { credentials, Metadata, Server, type ChannelOptions } from '@grpc/grpc-js';
import { newSelfSigned, newWireGuardKeyPair } from '@coral/auth';
import { openDirectMesh, type Mesh } from '@coral/mesh';
import { keyIdOf, systemClock, type KeyId } from '@coral/model';
import {
  callUnary,
  colonyV1,
  grpcClientOptions,
  grpcServerOptions,
  MeshGrpcServer,
  openMeshChannel,
  peerMetadataKey,
  peerOf,
  remoteAddressOf,
  type MeshChannel,
} from './index.js';

export const colonyAddress = '10.137.0.1';
export const cliAddress = '10.137.64.1';

export interface Ends {
  colony: Mesh;
  cli: Mesh;
  close(): Promise<void>;
}

export async function openEnds(): Promise<Ends> {
  const [colonyKeys, cliKeys] = [newWireGuardKeyPair(), newWireGuardKeyPair()];
  const [colonyCertificate, cliCertificate] = [await newSelfSigned('colony'), await newSelfSigned('cli')];
  const common = { production: false, clock: systemClock };
  const colony = await openDirectMesh({
    ...common,
    keyPair: colonyKeys,
    certificate: colonyCertificate,
    listen: { host: '127.0.0.1', port: 0 },
  });
  const cli = await openDirectMesh({ ...common, keyPair: cliKeys, certificate: cliCertificate });
  colony.addPeer({
    keyId: keyIdOf(cliKeys.publicKey),
    publicKey: cliKeys.publicKey,
    addresses: [cliAddress],
    direct: { certificateSha256: cliCertificate.sha256 },
  });
  cli.addPeer({
    keyId: keyIdOf(colonyKeys.publicKey),
    publicKey: colonyKeys.publicKey,
    addresses: [colonyAddress],
    direct: { certificateSha256: colonyCertificate.sha256, endpoint: colony.endpoint as string },
  });
  return {
    colony,
    cli,
    close: async () => {
      await cli.close();
      await colony.close();
    },
  };
}

export interface Seen {
  peer: KeyId | undefined;
  /** Every value of the metadata key, as the handler sees it. */
  claimed: string[];
  from: string;
}

type Describe = colonyV1.ColonyServiceServer['describeColony'];
type Exchange = colonyV1.McpServiceServer['exchange'];

/** Tells whoever asks who they are; `describe` and `exchange` replace what it does. */
export function identifyingServer(handlers: { describe?: Describe; exchange?: Exchange } = {}): {
  server: Server;
  seen: Seen[];
} {
  const seen: Seen[] = [];
  const note = (call: { metadata: Metadata; getPeer(): string }): void => {
    const claimed = call.metadata.get(peerMetadataKey).map(String);
    seen.push({ peer: peerOf(call.metadata), claimed, from: remoteAddressOf(call) });
  };
  const server = new Server(grpcServerOptions);
  const describe: Describe = (call, callback) => {
    note(call);
    if (handlers.describe) handlers.describe(call, callback);
    else callback(null, { colonyId: 'c', version: '1', userId: '', roles: [], permissions: [] });
  };
  const exchange: Exchange = (call) => {
    note(call);
    if (handlers.exchange) handlers.exchange(call);
    else call.end();
  };
  server.addService(colonyV1.ColonyServiceService, { describeColony: describe });
  server.addService(colonyV1.McpServiceService, { exchange });
  return { server, seen };
}

export async function shutDown(server: Server): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.tryShutdown((error) => (error ? reject(error) : resolve()));
  });
}

/** One server over one mesh, seen from one client; closed with everything opened through it. */
export interface Rig extends Ends {
  channel: MeshChannel;
  cleanup: (() => void | Promise<void>)[];
  /** Serves over the mesh until the rig closes. */
  serve(server: Server): Promise<MeshGrpcServer>;
  mcp(options?: ChannelOptions): colonyV1.McpServiceClient;
  colonyClient(): colonyV1.ColonyServiceClient;
}

export async function openRig(): Promise<Rig> {
  const ends = await openEnds();
  const channel = await openMeshChannel(ends.cli, colonyAddress, 9_000);
  const cleanup: Rig['cleanup'] = [];
  const insecure = credentials.createInsecure();
  const keep = <T extends { close(): void }>(client: T): T => {
    cleanup.push(() => client.close());
    return client;
  };
  return {
    ...ends,
    channel,
    cleanup,
    serve: async (server) => {
      const meshServer = new MeshGrpcServer(server);
      const listener = await ends.colony.listen(9_000, meshServer.serve);
      cleanup.push(async () => {
        await listener.close();
        await meshServer.close(0);
        server.forceShutdown();
      });
      return meshServer;
    },
    mcp: (options) =>
      keep(new colonyV1.McpServiceClient(channel.target, insecure, { ...grpcClientOptions, ...options })),
    colonyClient: () => keep(new colonyV1.ColonyServiceClient(channel.target, insecure, grpcClientOptions)),
    close: async () => {
      for (const step of cleanup.splice(0).toReversed()) await step();
      await channel.close();
      await ends.close();
    },
  };
}

/** Asks a server of {@link identifyingServer}; its usual answer is `c`. */
export async function describeColony(client: colonyV1.ColonyServiceClient, metadata = new Metadata()): Promise<string> {
  return (await callUnary(client, client.describeColony, {}, { metadata })).colonyId;
}
