import { setTimeout as wait } from 'node:timers/promises';
import { newSelfSigned, newWireGuardKeyPair } from '@coral/auth';
import { CoralError, type ErrorKind } from '@coral/errors';
import { connectMcp, type CallPolicy, type McpConnection } from '@coral/mcp-client';
import type { Mesh } from '@coral/mesh';
import { agentIdOf, type Clock, type Duration } from '@coral/model';
import { colonyV1, durationToProto, joinMesh, openMeshChannel, splitEndpoint } from '@coral/rpc';
import type { ColonyApi } from '../colony/colony-api.js';
import { version } from '../version.js';

/** Giving everything back may take this long, ms; whatever is stuck then ends with the process or at the TTL. */
export const closeLimitMs = 5_000;
/** A grant is a few keys and addresses; whatever says more is something else. Bytes. */
export const maxGrantBytes = 65_536;

type DirectCertificate = Awaited<ReturnType<typeof newSelfSigned>>;

export interface LeaseOptions {
  colony: ColonyApi;
  /** Shown in the colony's list and audit: `coral ask`. */
  purpose: string;
  /** Absent: the colony's default. */
  ttl?: Duration | undefined;
  /** False: the lease is left to end at its TTL. */
  release: boolean;
  clock: Clock;
  signal: AbortSignal;
  callPolicy?: Partial<CallPolicy>;
}

/** A place on the mesh, until it is given back or ends. */
export interface MeshAccess {
  readonly agentId: string;
  /** For the colony's doors inside the mesh. */
  readonly token: string;
  readonly mesh: Mesh;
  /** The colony's address inside the mesh, and the port of its gRPC door there. */
  readonly colony: { host: string; grpcPort: number };
  /** How long the colony was asked to honour it. */
  readonly livesMs: number;
  /** Until the colony stops honouring it; negative after that. */
  remainingMs(): number;
  /** Gives all of it back, in reverse order; twice is once. Never throws: the TTL ends what could not be released. */
  close(): Promise<void>;
}

/** A place on the mesh for one question, and the colony's tools behind it. */
export interface MeshLease {
  readonly agentId: string;
  readonly tools: McpConnection;
  /** True from the moment the colony stops honouring it. */
  isOver(): boolean;
  /** As {@link MeshAccess.close}. */
  close(): Promise<void>;
}

/** Key pair → lease → mesh. Whatever was reached when something fails, or `signal` aborts, is given back. */
export async function openMeshAccess(options: Omit<LeaseOptions, 'callPolicy'>): Promise<MeshAccess> {
  try {
    return await joinWith(options, undefined);
  } catch (thrown) {
    // Only a colony for development wants one, and making one is slow: it has to ask.
    if (!(thrown instanceof CoralError) || thrown.reason !== 'direct_certificate_missing') throw thrown;
    return joinWith(options, await newSelfSigned('coral'));
  }
}

async function joinWith(
  options: Omit<LeaseOptions, 'callPolicy'>,
  certificate: DirectCertificate | undefined,
): Promise<MeshAccess> {
  const { colony, purpose, ttl, clock, signal } = options;
  const keyPair = newWireGuardKeyPair();
  // Known before the colony says so: an answer that gets lost can still be released.
  const agentId = agentIdOf(keyPair.publicKey, 'eph');
  const stack = new AsyncDisposableStack();
  const close = closer(stack);
  stack.defer(() => void keyPair.privateKey.fill(0));
  try {
    signal.throwIfAborted();
    let mayExist = true;
    if (options.release) stack.defer(async () => (mayExist ? colony.releaseAccess(agentId) : undefined));
    const startedAt = { wall: clock.now(), monotonic: clock.monotonic() };
    const request = {
      userId: '',
      ttl: ttl === undefined ? undefined : durationToProto(ttl),
      purpose,
      clientPublicKey: keyPair.publicKey,
      directCertificateSha256: certificate?.sha256 ?? Buffer.alloc(0),
    };
    const granted = await colony.requestAccess(request, signal).catch((thrown: unknown) => {
      mayExist = !isRefusal(thrown);
      throw thrown;
    });
    const { settings, expiresAt } = readGrant(granted);
    const mesh = await joinMesh({
      settings,
      keyPair,
      colonyEndpoint: colony.endpoint,
      clock,
      ...(certificate === undefined ? {} : { direct: { certificate, production: false } }),
    });
    stack.defer(() => mesh.close());
    const { host, port: grpcPort } = toolsAt(granted.colonyMcpEndpoint);
    // What was asked for counts from here; only without it the colony's clock has to be believed.
    const grantedMs = expiresAt - startedAt.wall;
    const livesMs = ttl ?? (grantedMs > 0 ? grantedMs : Infinity);
    return {
      agentId,
      token: granted.accessToken,
      mesh,
      colony: { host, grpcPort },
      livesMs,
      remainingMs: () => livesMs - (clock.monotonic() - startedAt.monotonic),
      close,
    };
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

/** Key pair → lease → mesh → tools. Whatever was reached when something fails, or `signal` aborts, is given back. */
export async function openLease(options: LeaseOptions): Promise<MeshLease> {
  const { clock, signal } = options;
  const access = await openMeshAccess(options);
  const stack = new AsyncDisposableStack();
  stack.defer(() => access.close());
  const close = closer(stack);
  try {
    const channel = await openMeshChannel(access.mesh, access.colony.host, access.colony.grpcPort);
    stack.defer(() => channel.close());
    const isOver = () => access.remainingMs() <= 0 || isDisowned(channel.lastDialError());
    const tools = await connectMcp({
      channel,
      token: access.token,
      client: { name: 'coral', version },
      policy: { clock, isOver, ...options.callPolicy },
      signal,
    });
    stack.defer(() => tools.close());
    return { agentId: access.agentId, tools, isOver, close };
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

/** True for a dial that failed because the colony does not take this lease any more: no retry will change that. */
export function isDisowned(thrown: unknown): boolean {
  return thrown instanceof CoralError && disowned.has(thrown.reason);
}

/** WireGuard says nothing to those it does not know, so silence is one of the answers. */
const disowned = new Set(['mesh_refused', 'mesh_unknown_peer', 'mesh_peer_gone', 'mesh_unreachable']);

function readGrant(granted: colonyV1.RequestEphemeralAccessResponse) {
  const { length } = colonyV1.RequestEphemeralAccessResponse.encode(granted).finish();
  if (length > maxGrantBytes) throw badGrant(`its answer has ${length} bytes, more than ${maxGrantBytes}`);
  const { mesh, expiresAt } = granted;
  if (!mesh || !expiresAt) throw badGrant('its answer names no mesh');
  return { settings: mesh, expiresAt: expiresAt.getTime() };
}

/** The colony said no, as opposed to: its answer was lost. */
function isRefusal(thrown: unknown): boolean {
  const unclear: ErrorKind[] = ['unavailable', 'deadline_exceeded', 'cancelled', 'internal'];
  return thrown instanceof CoralError && !unclear.includes(thrown.kind);
}

function toolsAt(endpoint: string): { host: string; port: number } {
  try {
    return splitEndpoint(endpoint);
  } catch (cause) {
    throw badGrant(`it names ${JSON.stringify(endpoint.slice(0, 80))} as the address of its tools`, cause);
  }
}

function badGrant(why: string, cause?: unknown): CoralError {
  return new CoralError({
    cause,
    kind: 'failed_precondition',
    reason: 'mesh_unsupported',
    message: `The colony gave a lease that cannot be used: ${why}.`,
    next: 'Compare the versions of coral and of the colony.',
  });
}

function closer(stack: AsyncDisposableStack): () => Promise<void> {
  return onceQuietly(() => Promise.race([stack.disposeAsync(), patience(closeLimitMs)]));
}

/** Does not keep a process alive that has nothing else to do. */
async function patience(ms: number): Promise<void> {
  await wait(ms, undefined, { ref: false });
}

/** The first call does it, later ones wait for the same end; failures stay inside, there is nobody left to mend them. */
function onceQuietly(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined;
  return () => (done ??= work().catch(() => undefined));
}
