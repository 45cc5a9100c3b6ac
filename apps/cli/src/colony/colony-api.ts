import { Metadata } from '@grpc/grpc-js';
import type { Secret } from '@coral/config';
import { callUnary, colonyV1, fetchPinnedCa, grpcClientOptions, pinnedCredentials } from '@coral/rpc';
import type { PinnedColony } from '../config/choose-colony.js';

/** The colony's own API, over TLS with its pinned CA: leases and who am I. Tools go through the mesh, not through here. */
export interface ColonyApi extends Disposable {
  /** host:port of its public door. */
  readonly endpoint: string;
  describe(signal?: AbortSignal): Promise<colonyV1.DescribeColonyResponse>;
  requestAccess(
    request: colonyV1.RequestEphemeralAccessRequest,
    signal?: AbortSignal,
  ): Promise<colonyV1.RequestEphemeralAccessResponse>;
  releaseAccess(agentId: string): Promise<void>;
  listLeases(userId: string, signal?: AbortSignal): Promise<colonyV1.EphemeralAgent[]>;
  /** Gives a conversation to the colony to keep. */
  storeTranscript(request: colonyV1.StoreTranscriptRequest, signal?: AbortSignal): Promise<void>;
}

/** A call that takes longer than this has lost its colony, ms. */
export const colonyDeadlineMs = 10_000;
/** Releasing is a courtesy that the user waits for; the TTL does it otherwise, ms. */
export const releaseDeadlineMs = 3_000;

/** Proves the CA before a single credential is sent: a wrong fingerprint ends here as `wrong_ca`. */
export async function openColony(colony: PinnedColony, token: Secret, signal?: AbortSignal): Promise<ColonyApi> {
  const bearer = token.reveal();
  const caPem = await fetchPinnedCa(colony.endpoint, colony.ca_fingerprint, signal ? { signal } : {});
  const channel = pinnedCredentials(caPem);
  const leases = new colonyV1.EphemeralAgentServiceClient(colony.endpoint, channel, grpcClientOptions);
  const about = new colonyV1.ColonyServiceClient(colony.endpoint, channel, grpcClientOptions);
  const transcripts = new colonyV1.TranscriptServiceClient(colony.endpoint, channel, grpcClientOptions);
  const options = (signal?: AbortSignal, deadlineMs = colonyDeadlineMs) => {
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${bearer}`);
    return { metadata, deadlineMs, ...(signal ? { signal } : {}) };
  };
  return {
    endpoint: colony.endpoint,
    describe: (signal) => callUnary(about, about.describeColony, {}, options(signal)),
    requestAccess: (request, signal) => callUnary(leases, leases.requestEphemeralAccess, request, options(signal)),
    releaseAccess: async (agentId) => {
      await callUnary(leases, leases.releaseEphemeralAccess, { agentId }, options(undefined, releaseDeadlineMs));
    },
    listLeases: async (userId, signal) =>
      (await callUnary(leases, leases.listEphemeralAgents, { userId }, options(signal))).agents,
    storeTranscript: async (request, signal) => {
      await callUnary(transcripts, transcripts.storeTranscript, request, options(signal));
    },
    [Symbol.dispose]: () => {
      transcripts.close();
      leases.close();
      about.close();
    },
  };
}
