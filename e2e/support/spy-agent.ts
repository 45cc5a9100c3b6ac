import { credentials, Server, type sendUnaryData, type ServerUnaryCall } from '@grpc/grpc-js';
import { agentV1, callUnary, colonyV1, grpcServerOptions, MeshGrpcServer, openMeshChannel } from '@coral/rpc';
import { closing, joinAs, newIdentity, type ColonyUnderTest } from './start-colony.js';

/** An enrolled agent that answers every query with one row, and keeps all that reached it. */
export class SpyAgent implements AsyncDisposable {
  readonly agentId: string;
  /** Metadata and request of each call, as text. */
  readonly seen: string[] = [];
  readonly #undo: AsyncDisposableStack;

  private constructor(agentId: string, undo: AsyncDisposableStack) {
    this.agentId = agentId;
    this.#undo = undo;
  }

  static async join(colony: ColonyUnderTest, owner: string): Promise<SpyAgent> {
    await using undo = new AsyncDisposableStack();
    const identity = await newIdentity();
    using door = await colony.publicDoor();
    const enrolled = await callUnary(door.enrollment, door.enrollment.enrollAgent, {
      joinToken: await colony.joinToken(owner),
      name: 'spy',
      publicKey: identity.keyPair.publicKey,
      directCertificateSha256: identity.certificate.sha256,
    });
    const mesh = undo.use(await joinAs(enrolled, identity, door.endpoint));
    const server = new Server(grpcServerOptions);
    undo.defer(() => server.forceShutdown());
    const channel = await openMeshChannel(mesh, enrolled.mesh?.colonyAddressV4 ?? '', 9_000);
    undo.defer(() => channel.close());
    const spy = new SpyAgent(enrolled.agentId, undo.move());
    server.addService(agentV1.AgentServiceService, {
      runQuery: (
        call: ServerUnaryCall<agentV1.RunQueryRequest, agentV1.RunQueryResponse>,
        answer: sendUnaryData<agentV1.RunQueryResponse>,
      ) => {
        const metadata = JSON.stringify(call.metadata.toHttp2Headers());
        spy.seen.push(`${metadata}\n${JSON.stringify(agentV1.RunQueryRequest.toJSON(call.request))}`);
        answer(null, {
          columns: [{ name: 'n', type: 'INTEGER' }],
          rowsJson: Buffer.from('[[1]]'),
          rowCount: 1,
          truncated: false,
          asOfMs: Date.now(),
          oldestMs: Date.now(),
        });
      },
    });
    await mesh.listen(9_001, new MeshGrpcServer(server).serve);
    using telemetry = closing(new colonyV1.TelemetryServiceClient(channel.target, credentials.createInsecure()));
    const announcement = {
      version: 'spy',
      directEndpoint: 'endpoint' in mesh ? (mesh.endpoint ?? '') : '',
      clockMs: Date.now(),
    };
    await callUnary(telemetry.client, telemetry.client.announceAgent, announcement);
    return spy;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#undo.disposeAsync();
  }
}
