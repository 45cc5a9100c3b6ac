import { credentials } from '@grpc/grpc-js';
import type { CoralError } from '@coral/errors';
import { keyIdOf, type Clock, type KeyId } from '@coral/model';
import {
  callUnary,
  colonyV1,
  grpcClientOptions,
  joinMesh,
  openMeshChannel,
  type JoinedMesh,
  type MeshChannel,
} from '@coral/rpc';
import type { AgentConfig } from '../agent.config.js';
import type { Enrolled } from '../enroll/enrollment.js';
import type { Membership } from '../enroll/identity.js';
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
  readonly mesh: JoinedMesh;
  /** The only key that may ask this agent anything. */
  readonly colonyKey: KeyId;
  readonly #channel: MeshChannel;
  /** Where the colony finds this end; '' unless the mesh driver is `direct`. */
  readonly #directEndpoint: string;
  readonly #client: colonyV1.TelemetryServiceClient;
  readonly #clock: Clock;
  readonly #log: AgentLog;

  private constructor(mesh: JoinedMesh, colonyKey: KeyId, channel: MeshChannel, clock: Clock, log: AgentLog) {
    this.mesh = mesh;
    this.#directEndpoint = 'endpoint' in mesh ? (mesh.endpoint ?? '') : '';
    this.colonyKey = colonyKey;
    this.#channel = channel;
    this.#client = new colonyV1.TelemetryServiceClient(channel.target, credentials.createInsecure(), grpcClientOptions);
    this.#clock = clock;
    this.#log = log;
  }

  /** Opens the mesh; the colony need not be there. */
  static async open(enrolled: Enrolled, config: AgentConfig, clock: Clock, log: AgentLog): Promise<ColonyLink> {
    const { keys, membership } = enrolled;
    const mesh = await joinMesh({
      settings: toSettings(membership.mesh),
      keyPair: keys,
      colonyEndpoint: config.colony.endpoint,
      clock,
      direct: {
        certificate: keys.certificate,
        listen: config.mesh.listen,
        production: config.environment === 'production',
        onRefused: (refused) => log.warn('the mesh turned somebody away', { ...refused }),
      },
      onEvent: (event) => log.info('mesh', { ...event }),
    });
    const colonyKey = keyIdOf(membership.mesh.colony_public_key);
    const channel = await openMeshChannel(mesh, membership.mesh.colony_address_v4, colonyGrpcPort);
    return new ColonyLink(mesh, colonyKey, channel, clock, log);
  }

  /** Resolves with what ended the mesh under a running agent; never, as long as it is well. */
  get lost(): Promise<CoralError> {
    return 'lost' in this.mesh ? this.mesh.lost : new Promise(() => undefined);
  }

  async announce(signal: AbortSignal): Promise<void> {
    const asked = this.#clock.now();
    const answer = await callUnary(
      this.#client,
      this.#client.announceAgent,
      { version: agentVersion, directEndpoint: this.#directEndpoint, clockMs: asked },
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

function toSettings(mesh: Membership['mesh']): colonyV1.MeshSettings {
  return {
    colonyPublicKey: mesh.colony_public_key,
    addressV4: mesh.address_v4,
    addressV6: mesh.address_v6,
    colonyAddressV4: mesh.colony_address_v4,
    colonyAddressV6: mesh.colony_address_v6,
    endpoint: mesh.endpoint,
    mtu: mesh.mtu,
    persistentKeepaliveSeconds: mesh.persistent_keepalive_seconds,
    routes: mesh.routes,
    direct: mesh.direct && {
      endpoint: mesh.direct.endpoint,
      certificateSha256: mesh.direct.certificate_sha256,
    },
  };
}
