import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  Server,
  type Metadata,
  type sendUnaryData,
  type ServerUnaryCall,
  type ServerWritableStream,
} from '@grpc/grpc-js';
import { createMcpHandler, fromJsonSchema, McpServer } from '@modelcontextprotocol/server';
import { CertificateAuthority, newSelfSigned, newWireGuardKeyPair } from '@coral/auth';
import { CoralError, toCoralError } from '@coral/errors';
import { openDirectMesh, type DirectMesh } from '@coral/mesh';
import { agentIdOf, keyIdOf, systemClock, type KeyId } from '@coral/model';
import {
  colonyV1,
  durationFromProto,
  MeshGrpcServer,
  serveTls,
  timeToProto,
  toServiceError,
  type TlsServer,
} from '@coral/rpc';
import { toolDefinitions, type ToolName } from '@coral/tools';
import { HttpDoor, type Post } from './http-door.js';

const meshAddress = '10.137.0.1';
const mcpPort = 9_000;
const mcpHttpPort = 9_080;

export interface GrantedLease {
  agentId: string;
  keyId: KeyId;
  purpose: string;
  ttlMs: number;
  token: string;
  expiresAt: number;
}

export interface DoubleCall {
  name: ToolName;
  args: Record<string, unknown>;
  lease: GrantedLease;
  signal: AbortSignal;
}

/** A tool's answer: an envelope, or `{ error }`. */
export type ToolScript = (call: DoubleCall) => Promise<object>;

/**
 * For specs: a colony as a client sees it, made of the real door parts (pinned TLS, leases bound to keys, the direct mesh,
 * MCP over gRPC) with scripted tools behind them. It keeps no state, has no policy and no audit.
 */
export class ColonyDouble implements AsyncDisposable {
  readonly colonyId = 'double';
  readonly apiToken = 'coral_pat_double_secret';
  readonly granted: GrantedLease[] = [];
  readonly released: string[] = [];
  /** Every credential that ever arrived, right or wrong. */
  readonly seenTokens: string[] = [];
  readonly calls: DoubleCall[] = [];
  defaultTtlMs = 300_000;
  tool: ToolScript = async () => ({ error: { kind: 'not_found', reason: 'no_script', message: 'No script.' } });
  refuseAccess: CoralError | undefined;
  /** What came to the HTTP door. */
  readonly posts: Post[] = [];
  /** May answer a post itself: true when it has. */
  onPost: (post: Post) => boolean = () => false;
  /** Asked before a lease is given back: a promise that does not resolve is a colony that hangs. */
  beforeRelease: () => Promise<void> = async () => undefined;
  onGranted: (lease: GrantedLease) => void = () => undefined;
  private waiting: { count: number; resolve: () => void }[] = [];

  private constructor(
    readonly endpoint: string,
    readonly fingerprint: string,
    private readonly keys: { publicKey: Buffer },
    private readonly certificate: { sha256: Buffer },
    private readonly mesh: DirectMesh,
    private readonly stack: AsyncDisposableStack,
  ) {}

  static async start(): Promise<ColonyDouble> {
    await using stack = new AsyncDisposableStack();
    const directory = await mkdtemp(join(tmpdir(), 'coral-double-'));
    stack.defer(() => rm(directory, { recursive: true }));
    const ca = await CertificateAuthority.openOrCreate(directory);
    const keyPair = newWireGuardKeyPair();
    const certificate = await newSelfSigned('colony');
    const listen = { host: '127.0.0.1', port: 0 };
    const mesh = await openDirectMesh({ keyPair, certificate, listen, production: false, clock: systemClock });
    stack.defer(() => mesh.close());

    const api = new Server();
    const identity = await ca.issueServer(['127.0.0.1', 'localhost']);
    let double: ColonyDouble | undefined;
    const self = (): ColonyDouble => {
      if (!double) throw new Error('called before it was started');
      return double;
    };
    api.addService(colonyV1.EphemeralAgentServiceService, {
      requestEphemeralAccess: unary((request, metadata) => self().grant(request, metadata)),
      releaseEphemeralAccess: unary((request, metadata) => self().release(request, metadata)),
      listEphemeralAgents: unary((_request, metadata) => self().list(metadata)),
    });
    api.addService(colonyV1.ColonyServiceService, {
      describeColony: unary((_request, metadata) => self().describe(metadata)),
    });
    const tls: TlsServer = await serveTls(api, { host: '127.0.0.1', port: 0, ...identity });
    stack.defer(() => tls.close(0));

    const tools = new Server();
    tools.addService(colonyV1.McpServiceService, {
      exchange: (call: Exchange) => void self().exchange(call),
    });
    const meshServer = new MeshGrpcServer(tools);
    stack.defer(() => meshServer.close(0));
    await mesh.listen(mcpPort, meshServer.serve);
    const http = new HttpDoor((post) => self().answerPost(post));
    stack.defer(() => http.close());
    await mesh.listen(mcpHttpPort, http.serve);
    double = new ColonyDouble(`127.0.0.1:${tls.port}`, ca.fingerprint, keyPair, certificate, mesh, stack.move());
    return double;
  }

  /** What the CLI's config says of it. */
  get entry() {
    return { id: this.colonyId, endpoint: this.endpoint, ca_fingerprint: this.fingerprint };
  }

  /** Leases that were granted and not given back. */
  get open(): string[] {
    return this.granted.map(({ agentId }) => agentId).filter((agentId) => !this.released.includes(agentId));
  }

  /** Cuts a lease short, as its end or a revocation does. */
  endLease(lease: GrantedLease): void {
    lease.expiresAt = 0;
    this.mesh.removePeer(lease.keyId);
  }

  /** Resolves when that many leases were given back. */
  whenReleased(count: number): Promise<void> {
    if (this.released.length >= count) return Promise.resolve();
    return new Promise((resolve) => this.waiting.push({ count, resolve }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stack.disposeAsync();
  }

  private check(metadata: Metadata, wanted: (token: string) => boolean): void {
    const token = String(metadata.get('authorization')[0] ?? '').replace(/^Bearer /, '');
    this.seenTokens.push(token);
    if (wanted(token)) return;
    throw new CoralError({ kind: 'unauthenticated', reason: 'token_invalid', message: 'The token is not known.' });
  }

  private grant(request: colonyV1.RequestEphemeralAccessRequest, metadata: Metadata) {
    this.check(metadata, (token) => token === this.apiToken);
    if (this.refuseAccess) throw this.refuseAccess;
    const ttlMs = request.ttl ? durationFromProto(request.ttl, 'ttl') : this.defaultTtlMs;
    if (request.directCertificateSha256.length === 0) throw wantsCertificate();
    if (ttlMs === 0) throw new CoralError({ kind: 'invalid_argument', reason: 'bad_ttl', message: 'ttl is zero' });
    const lease: GrantedLease = {
      agentId: agentIdOf(request.clientPublicKey, 'eph'),
      keyId: keyIdOf(request.clientPublicKey),
      purpose: request.purpose,
      ttlMs,
      token: `access-${this.granted.length}`,
      expiresAt: Date.now() + ttlMs,
    };
    this.granted.push(lease);
    this.mesh.addPeer({
      keyId: lease.keyId,
      publicKey: request.clientPublicKey,
      addresses: [`10.137.64.${this.granted.length}`],
      expiresAt: lease.expiresAt,
      direct: { certificateSha256: request.directCertificateSha256 },
    });
    this.onGranted(lease);
    return {
      agentId: lease.agentId,
      wireguardConfig: '',
      colonyMcpEndpoint: `${meshAddress}:${mcpPort}`,
      expiresAt: timeToProto(lease.expiresAt),
      accessToken: lease.token,
      mesh: {
        colonyPublicKey: this.keys.publicKey,
        addressV4: `10.137.64.${this.granted.length}`,
        addressV6: '',
        colonyAddressV4: meshAddress,
        colonyAddressV6: '',
        endpoint: '',
        mtu: 0,
        persistentKeepaliveSeconds: 0,
        routes: [],
        direct: { endpoint: this.mesh.endpoint ?? '', certificateSha256: this.certificate.sha256 },
      },
    };
  }

  private async release({ agentId }: colonyV1.ReleaseEphemeralAccessRequest, metadata: Metadata) {
    this.check(metadata, (token) => token === this.apiToken);
    await this.beforeRelease();
    const lease = this.granted.find((one) => one.agentId === agentId);
    this.released.push(agentId);
    if (lease) this.mesh.removePeer(lease.keyId);
    this.waiting.filter(({ count }) => this.released.length >= count).forEach(({ resolve }) => resolve());
    return { success: true };
  }

  private list(metadata: Metadata) {
    this.check(metadata, (token) => token === this.apiToken);
    const agents = this.granted
      .filter(({ agentId }) => this.open.includes(agentId))
      .map(({ agentId, purpose, expiresAt, ttlMs }) => ({
        agentId,
        userId: 'alex',
        createdAt: timeToProto(expiresAt - ttlMs),
        expiresAt: timeToProto(expiresAt),
        purpose,
      }));
    return { agents };
  }

  private describe(metadata: Metadata) {
    this.check(metadata, (token) => token === this.apiToken);
    return { colonyId: this.colonyId, version: '0', userId: 'alex', roles: ['dev'], permissions: ['read:metrics'] };
  }

  private async exchange(call: Exchange): Promise<void> {
    try {
      const lease = this.granted.find(
        ({ token }) => `Bearer ${token}` === String(call.metadata.get('authorization')[0]),
      );
      if (!lease || lease.expiresAt <= Date.now()) {
        throw new CoralError({ kind: 'unauthenticated', reason: 'lease_expired', message: 'The lease is over.' });
      }
      const message = JSON.parse(call.request.json.toString()) as { method: string; params?: { name?: string } };
      const gone = new AbortController();
      call.on('cancelled', () => gone.abort());
      const response = await this.mcpFor(lease, gone.signal).fetch(
        new Request('http://mesh/mcp', {
          method: 'POST',
          signal: gone.signal,
          headers: {
            'content-type': 'application/json',
            accept: 'application/json, text/event-stream',
            'mcp-protocol-version': '2026-07-28',
            'mcp-method': message.method,
            ...(message.params?.name ? { 'mcp-name': message.params.name } : {}),
          },
          body: call.request.json,
        }),
      );
      const body = await response.text();
      const json = body.startsWith('{') ? body : (/^data: (.*)$/m.exec(body)?.[1] ?? '{}');
      call.write({ json: Buffer.from(json) });
      call.end();
    } catch (thrown) {
      call.emit('error', toServiceError(toCoralError(thrown)));
    }
  }

  /** A bare MCP handler behind a check of the token, nothing else. Undefined when the post was answered another way. */
  private async answerPost(post: Post): Promise<Response | undefined> {
    this.posts.push(post);
    if (this.onPost(post)) return undefined;
    const lease = this.granted.find(({ token }) => `Bearer ${token}` === post.headers['authorization']);
    if (!lease || lease.expiresAt <= Date.now()) {
      const error = { kind: 'unauthenticated', reason: 'lease_expired', message: 'The lease is over.' };
      return Response.json({ error }, { status: 401 });
    }
    return this.mcpFor(lease, post.signal).fetch(post.request);
  }

  private mcpFor(lease: GrantedLease, signal: AbortSignal) {
    return createMcpHandler(() => {
      const server = new McpServer({ name: 'double', version: '0' });
      for (const { name, description, inputSchema } of toolDefinitions) {
        server.registerTool(name, { description, inputSchema: fromJsonSchema(inputSchema) }, async (args) => {
          const call: DoubleCall = { name, args: args as Record<string, unknown>, lease, signal };
          this.calls.push(call);
          const body = await this.tool(call);
          return {
            isError: 'error' in body,
            content: [{ type: 'text' as const, text: JSON.stringify(body) }],
            structuredContent: body as Record<string, unknown>,
          };
        });
      }
      return server;
    });
  }
}

type Exchange = ServerWritableStream<colonyV1.ExchangeRequest, colonyV1.ExchangeResponse>;

function unary<Req, Res>(work: (request: Req, metadata: Metadata) => Res | Promise<Res>) {
  const answer = async (call: ServerUnaryCall<Req, Res>, done: sendUnaryData<Res>): Promise<void> => {
    try {
      done(null, await work(call.request, call.metadata));
    } catch (thrown) {
      done(toServiceError(toCoralError(thrown)));
    }
  };
  return (call: ServerUnaryCall<Req, Res>, done: sendUnaryData<Res>): void => void answer(call, done);
}

function wantsCertificate(): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'direct_certificate_missing',
    message: 'This mesh asks for a certificate.',
  });
}
