import { readFile } from 'node:fs/promises';
import { CoralError, toCoralError } from '@coral/errors';
import { callUnary, colonyV1, fetchPinnedCa, grpcClientOptions, pinnedCredentials } from '@coral/rpc';
import type { AgentConfig } from '../agent.config.js';
import { describeError, type AgentLog } from '../log.js';
import { enrollmentRefused, notEnrolled, otherColony } from './enroll.errors.js';
import type { AgentKeys, IdentityStore, Membership } from './identity.js';

export interface EnrollmentOptions {
  config: Pick<AgentConfig, 'name' | 'colony' | 'join_token' | 'join_token_file'>;
  identity: IdentityStore;
  log: AgentLog;
  env: NodeJS.ProcessEnv;
  /** Waits; rejects when the signal aborts. */
  wait(ms: number, signal: AbortSignal): Promise<void>;
  signal: AbortSignal;
}

export interface Enrolled {
  keys: AgentKeys;
  membership: Membership;
}

const firstRetryMs = 1_000;
const maxRetryMs = 30_000;

/**
 * The agent's place on the mesh: kept from an earlier start, or got now with the join token. A colony that does not
 * answer is asked again and again; a refusal is final (`failed_precondition`).
 */
export async function ensureEnrolled(options: EnrollmentOptions): Promise<Enrolled> {
  const { identity, config } = options;
  const membership = await identity.membership();
  if (membership === undefined) return enroll(options);
  if (membership.ca_fingerprint !== config.colony.ca_fingerprint.toLowerCase()) throw otherColony(identity.directory);
  return { keys: await identity.keys(), membership };
}

async function enroll(options: EnrollmentOptions): Promise<Enrolled> {
  const { identity, log, wait, signal } = options;
  const joinToken = await readJoinToken(options);
  let mayMakeNewKeys = true;
  for (let attempt = 1; ; attempt++) {
    const keys = await identity.keys();
    try {
      const membership = await askColony(options, keys, joinToken);
      await identity.join(membership);
      log.info('joined the colony', { agent_id: membership.agent_id, colony_id: membership.colony_id });
      return { keys, membership };
    } catch (thrown) {
      const error = toCoralError(thrown);
      if (error.reason === 'key_in_use' && mayMakeNewKeys) {
        // An earlier enrolment went through, but its answer never arrived: only a new key can join with a new token.
        mayMakeNewKeys = false;
        await identity.discardKeys();
        continue;
      }
      if (error.kind !== 'unavailable' && error.kind !== 'deadline_exceeded') throw enrollmentRefused(error);
      const delay = Math.min(maxRetryMs, firstRetryMs * 2 ** Math.min(attempt - 1, 10));
      log.warn('the colony does not answer; joining is tried again', { ...describeError(error), retry_in_ms: delay });
      await wait(delay, signal);
    }
  }
}

async function readJoinToken({ config, env }: EnrollmentOptions): Promise<string> {
  if (config.join_token !== undefined) return config.join_token.reveal(env);
  if (config.join_token_file === undefined) throw notEnrolled();
  try {
    return (await readFile(config.join_token_file, 'utf8')).trim();
  } catch (cause) {
    throw new CoralError({
      kind: 'failed_precondition',
      reason: 'join_token_unreadable',
      where: 'join_token_file',
      message: `The join token cannot be read from ${config.join_token_file}.`,
      next: 'Put the token there, readable by the agent’s user.',
      cause,
    });
  }
}

async function askColony(options: EnrollmentOptions, keys: AgentKeys, joinToken: string): Promise<Membership> {
  const { config, signal } = options;
  const { endpoint, ca_fingerprint } = config.colony;
  const caPem = await fetchPinnedCa(endpoint, ca_fingerprint, { signal });
  const client = new colonyV1.AgentEnrollmentServiceClient(endpoint, pinnedCredentials(caPem), grpcClientOptions);
  try {
    const request: colonyV1.EnrollAgentRequest = {
      joinToken,
      name: config.name,
      publicKey: keys.publicKey,
      directCertificateSha256: keys.certificate.sha256,
    };
    return toMembership(await callUnary(client, client.enrollAgent, request, { signal }), ca_fingerprint);
  } finally {
    client.close();
  }
}

function toMembership(answer: colonyV1.EnrollAgentResponse, caFingerprint: string): Membership {
  const { mesh } = answer;
  if (mesh === undefined) {
    throw new CoralError({
      kind: 'failed_precondition',
      reason: 'bad_enrollment_answer',
      message: 'The colony let the agent join but said nothing about the mesh.',
      next: 'Run an agent of the colony’s version.',
    });
  }
  return {
    agent_id: answer.agentId,
    colony_id: answer.colonyId,
    ca_fingerprint: caFingerprint.toLowerCase(),
    owner: answer.owner,
    labels: answer.labels,
    mesh: {
      colony_public_key: Buffer.from(mesh.colonyPublicKey),
      address_v4: mesh.addressV4,
      address_v6: mesh.addressV6,
      colony_address_v4: mesh.colonyAddressV4,
      colony_address_v6: mesh.colonyAddressV6,
      endpoint: mesh.endpoint,
      mtu: mesh.mtu,
      persistent_keepalive_seconds: mesh.persistentKeepaliveSeconds,
      routes: mesh.routes,
      ...(mesh.direct === undefined
        ? {}
        : {
            direct: { endpoint: mesh.direct.endpoint, certificate_sha256: Buffer.from(mesh.direct.certificateSha256) },
          }),
    },
  };
}
