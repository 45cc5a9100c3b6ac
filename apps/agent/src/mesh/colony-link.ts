import { credentials } from '@grpc/grpc-js';
import { openDirectMesh, type DirectMesh } from '@coral/mesh';
import { keyIdOf, type Clock, type KeyId } from '@coral/model';
import { callUnary, colonyV1, grpcClientOptions, openMeshChannel, type MeshChannel } from '@coral/rpc';
import type { AgentConfig } from '../agent.config.js';
import { meshDriverMissing } from '../enroll/enroll.errors.js';
import type { Enrolled } from '../enroll/enrollment.js';
import type { AgentLog } from '../log.js';
import type { SummarySink } from '../summarize/pusher.js';
import { agentVersion } from '../version.js';

/** Where the colony's TelemetryService answers inside the mesh. */
export const colonyGrpcPort = 9_000;
/** Where this agent's AgentService answers inside the mesh. */
export const agentGrpcPort = 9_001;
/** A colony that takes longer to store one batch is treated as away. */
const pushDeadlineMs = 20_000;

/** The agent's end of the mesh, with the colony as its only peer. */
export class ColonyLink implements SummarySink, AsyncDisposable {
  readonly mesh: DirectMesh;
  /** The only key that may ask this agent anything. */
  readonly colonyKey: KeyId;
  readonly #channel: MeshChannel;
  readonly #client: colonyV1.TelemetryServiceClient;
  readonly #clock: Clock;
  readonly #log: AgentLog;

  private constructor(mesh: DirectMesh, colonyKey: KeyId, channel: MeshChannel, clock: Clock, log: AgentLog) {
    this.mesh = mesh;
    this.colonyKey = colonyKey;
    this.#channel = channel;
    this.#client = new colonyV1.TelemetryServiceClient(channel.target, credentials.createInsecure(), grpcClientOptions);
    this.#clock = clock;
    this.#log = log;
  }

  /** Opens the mesh; the colony need not be there. */
  static async open(enrolled: Enrolled, config: AgentConfig, clock: Clock, log: AgentLog): Promise<ColonyLink> {
    const { keys, membership } = enrolled;
    const { direct, ...settings } = membership.mesh;
    if (direct === undefined) throw meshDriverMissing();
    const mesh = await openDirectMesh({
      keyPair: keys,
      certificate: keys.certificate,
      listen: config.mesh.listen,
      production: config.environment === 'production',
      clock,
      onRefused: (refused) => log.warn('the mesh turned somebody away', { ...refused }),
    });
    const colonyKey = keyIdOf(settings.colony_public_key);
    mesh.addPeer({
      keyId: colonyKey,
      publicKey: settings.colony_public_key,
      addresses: [settings.colony_address_v4, settings.colony_address_v6].filter((address) => address !== ''),
      direct: { certificateSha256: direct.certificate_sha256, endpoint: direct.endpoint },
    });
    const channel = await openMeshChannel(mesh, settings.colony_address_v4, colonyGrpcPort);
    return new ColonyLink(mesh, colonyKey, channel, clock, log);
  }

  async announce(signal: AbortSignal): Promise<void> {
    const asked = this.#clock.now();
    const answer = await callUnary(
      this.#client,
      this.#client.announceAgent,
      { version: agentVersion, directEndpoint: this.mesh.endpoint ?? '', clockMs: asked },
      { signal },
    );
    this.#log.info('announced to the colony', { clock_difference_ms: answer.clockMs - asked });
  }

  async push(request: colonyV1.PushSummaryRequest, signal: AbortSignal): Promise<number> {
    const options = { signal, deadlineMs: pushDeadlineMs };
    return (await callUnary(this.#client, this.#client.pushSummary, request, options)).durableSeq;
  }

  async close(): Promise<void> {
    this.#client.close();
    await this.#channel.close();
    await this.mesh.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
