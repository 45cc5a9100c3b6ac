/** A colony as agents see one: real TLS, real mesh, real gRPC; what it is told stays in memory. */
import { Server, type sendUnaryData, type ServerUnaryCall } from '@grpc/grpc-js';
import { CertificateAuthority, newWireGuardKeyPair } from '@coral/auth';
import { CoralError, toCoralError } from '@coral/errors';
import { openUserspaceMesh, type UserspaceMesh } from '@coral/mesh';
import { agentIdOf, keyIdOf, systemClock, type KeyId } from '@coral/model';
import {
  agentV1,
  callUnary,
  colonyV1,
  grpcClientOptions,
  grpcServerOptions,
  MeshGrpcServer,
  openMeshChannel,
  peerOf,
  serveTls,
  toServiceError,
  type TlsServer,
} from '@coral/rpc';
import { credentials } from '@grpc/grpc-js';
import { agentGrpcPort, colonyGrpcPort } from '../mesh/colony-link.js';

/** The n-th agent to join. */
const addressOf = (index: number) => `10.137.0.${16 + index}`;
const colonyAddress = '10.137.0.1';
const colonyAddressV6 = 'fd42:c0a1::1';

export class SpecColony implements AsyncDisposable {
  readonly endpoint: string;
  readonly caFingerprint: string;
  readonly mesh: UserspaceMesh;
  readonly announced: colonyV1.AnnounceAgentRequest[] = [];
  readonly enrolled: colonyV1.EnrollAgentRequest[] = [];
  /** By epoch and seq; what a colony keeps. */
  readonly batches = new Map<string, colonyV1.PushSummaryRequest>();
  /** Everything pushed, repeats too. */
  pushes = 0;
  /** Tokens that still let somebody join. */
  readonly joinTokens = new Set(['coral_join_spec']);
  /** When set, every push ends with it. */
  refuses: CoralError | undefined;
  #waiting: (() => void)[] = [];
  readonly #tls: TlsServer;
  readonly #doors: MeshGrpcServer;
  readonly #servers: Server[];

  private constructor(parts: {
    endpoint: string;
    fingerprint: string;
    mesh: UserspaceMesh;
    tls: TlsServer;
    doors: MeshGrpcServer;
    servers: Server[];
  }) {
    this.endpoint = parts.endpoint;
    this.caFingerprint = parts.fingerprint;
    this.mesh = parts.mesh;
    this.#tls = parts.tls;
    this.#doors = parts.doors;
    this.#servers = parts.servers;
  }

  static async start(directory: string): Promise<SpecColony> {
    const authority = await CertificateAuthority.openOrCreate(`${directory}/ca`);
    const keys = newWireGuardKeyPair();
    const mesh = await openUserspaceMesh({
      keyPair: keys,
      addresses: [colonyAddress, colonyAddressV6],
      udp: { host: '127.0.0.1', port: 0 },
      clock: systemClock,
      hub: true,
    });
    const [outside, inside] = [new Server(grpcServerOptions), new Server(grpcServerOptions)];
    let colony: SpecColony | undefined;
    const self = () => colony as SpecColony;
    outside.addService(colonyV1.AgentEnrollmentServiceService, {
      enrollAgent: unary((request: colonyV1.EnrollAgentRequest) => {
        const addressV4 = self().#enroll(request);
        return {
          agentId: agentIdOf(request.publicKey, 'agt'),
          colonyId: 'spec',
          owner: 'group:spec',
          labels: {},
          mesh: {
            colonyPublicKey: keys.publicKey,
            addressV4,
            addressV6: '',
            colonyAddressV4: colonyAddress,
            colonyAddressV6,
            endpoint: `127.0.0.1:${mesh.udpPort}`,
            direct: undefined,
            mtu: 0,
            persistentKeepaliveSeconds: 25,
            routes: [],
          },
        };
      }),
    });
    inside.addService(colonyV1.TelemetryServiceService, {
      announceAgent: unary((request: colonyV1.AnnounceAgentRequest, peer) => self().#announce(request, peer)),
      pushSummary: unary((request: colonyV1.PushSummaryRequest) => self().#push(request)),
    });
    const doors = new MeshGrpcServer(inside);
    await mesh.listen(colonyGrpcPort, doors.serve);
    const identity = await authority.issueServer(['127.0.0.1']);
    const tls = await serveTls(outside, { host: '127.0.0.1', port: 0, ...identity });
    colony = new SpecColony({
      endpoint: `127.0.0.1:${tls.port}`,
      fingerprint: authority.fingerprint,
      mesh,
      tls,
      doors,
      servers: [outside, inside],
    });
    return colony;
  }

  /** Resolves when `done` holds; looked at after everything the agent says. */
  async until(done: () => boolean): Promise<void> {
    while (!done()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  get summaries(): colonyV1.PushSummaryRequest[] {
    return [...this.batches.values()];
  }

  /** Requests counted over everything the colony was told. */
  get requests(): number {
    return this.summaries.flatMap((batch) => batch.windows).reduce((sum, window) => sum + window.requests, 0);
  }

  /** Asks the agent that joined first, through a mesh end (the colony's own unless another is given). */
  async ask(sql: string, mesh = this.mesh): Promise<agentV1.RunQueryResponse> {
    const channel = await openMeshChannel(mesh, addressOf(0), agentGrpcPort);
    const client = new agentV1.AgentServiceClient(channel.target, credentials.createInsecure(), grpcClientOptions);
    try {
      const request = { sql, maxRows: 10_000, maxBytes: 0, timeout: undefined };
      return await callUnary(client, client.runQuery, request, { far: 'agent' });
    } finally {
      client.close();
      await channel.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#doors.close(0);
    for (const server of this.#servers) server.forceShutdown();
    await this.#tls.close();
    await this.mesh.close();
  }

  #enroll(request: colonyV1.EnrollAgentRequest): string {
    if (!this.joinTokens.delete(request.joinToken)) {
      throw new CoralError({
        kind: 'unauthenticated',
        reason: 'join_token_invalid',
        message: 'This join token is unknown or spent.',
        next: 'Ask for a new one.',
      });
    }
    this.enrolled.push(request);
    this.mesh.addPeer({
      keyId: keyIdOf(request.publicKey),
      publicKey: request.publicKey,
      addresses: [addressOf(this.enrolled.length - 1)],
    });
    this.#tell();
    return addressOf(this.enrolled.length - 1);
  }

  #announce(request: colonyV1.AnnounceAgentRequest, peer: KeyId | undefined): colonyV1.AnnounceAgentResponse {
    const agent = this.enrolled.find((one) => keyIdOf(one.publicKey) === peer);
    if (agent === undefined) {
      throw new CoralError({ kind: 'permission_denied', reason: 'not_an_agent', message: 'Unknown key.' });
    }
    this.announced.push(request);
    this.#tell();
    return { clockMs: Date.now() };
  }

  #push(request: colonyV1.PushSummaryRequest): colonyV1.PushSummaryResponse {
    this.pushes++;
    this.#tell();
    if (this.refuses !== undefined) throw this.refuses;
    this.batches.set(`${request.epoch}/${request.seq}`, request);
    return { durableSeq: request.seq };
  }

  #tell(): void {
    setImmediate(() => this.#waiting.splice(0).forEach((wake) => wake()));
  }
}

function unary<Req, Res>(answer: (request: Req, peer: KeyId | undefined) => Res) {
  return (call: ServerUnaryCall<Req, Res>, respond: sendUnaryData<Res>): void => {
    try {
      respond(null, answer(call.request, peerOf(call.metadata)));
    } catch (thrown) {
      respond(toServiceError(toCoralError(thrown)));
    }
  };
}
