import type { AuditLog } from '@coral/audit';
import type { AccessClaims } from '@coral/auth';
import type { CoralError } from '@coral/errors';
import type { AgentId, Clock, KeyId, Permission } from '@coral/model';
import type { Policy } from '@coral/policy';
import type { ToolEnvelope, ToolErrorBody, ToolHandler, ToolName } from '@coral/tools';

/** One tool call as a door hands it in. Nothing in it is trusted but `peer`, `audience`, `door` and `remoteAddress`. */
export interface ToolRequest {
  /** The bearer text, or undefined when there was none. */
  token: string | undefined;
  /** Key id of the tunnel the call came through, as the mesh proved it; undefined at the public door. */
  peer: KeyId | undefined;
  /** Which tokens count here: those bound to a tunnel, or those for the public resource. Never both at one door. */
  audience: 'mesh' | 'public';
  door: 'grpc' | 'http' | 'stdio';
  remoteAddress: string;
  name: string;
  args: unknown;
  /** Names one attempt; a retry repeats it unchanged. */
  idempotencyKey?: string;
  /** What the client calls itself. Recorded, never believed. */
  clientInfo?: string;
  /** Aborts when the caller goes away. */
  signal: AbortSignal;
}

/** Who is at a door, as far as the door knows. */
export type Stranger = Pick<ToolRequest, 'token' | 'peer' | 'audience' | 'door' | 'remoteAddress'>;

/** A call that a door could not make a {@link ToolRequest} of. */
export type MalformedRequest = Stranger & Partial<Pick<ToolRequest, 'name' | 'args' | 'idempotencyKey' | 'clientInfo'>>;

export interface ToolAnswer {
  isError: boolean;
  body: ToolEnvelope | ToolErrorBody;
  /** JSON text of the body, redacted and capped: what the audit row's size counts, in bytes of UTF-8. */
  text: string;
  /** Set when only the scope of the caller's own token stands in the way: a token with this one would do. */
  missingScope?: Permission;
}

export interface ToolRequirement {
  permission: Permission;
  /** RFD 028: the caller must own the agent named in `agent_id`. */
  additionalCheck?: 'agent_owner_match';
}

/** What colony.yaml says about tools. */
export interface ToolRules {
  enabled: readonly ToolName[];
  required: Record<ToolName, ToolRequirement>;
  /** `*.password`: see redact.ts. */
  redactFields: readonly string[];
  /** Bytes of UTF-8 JSON text. */
  maxResponseBytes: number;
  deadlineMs: number;
}

export interface ToolPathDeps {
  /** Rejects with `unauthenticated`. `now`: wall clock ms. */
  verifyToken(token: string, now: number, audience: ToolRequest['audience']): Promise<AccessClaims>;
  /** The lease as it stands now; undefined when there is none, or none any more. Without `keyId` it has no tunnel. */
  lease(agentId: AgentId): { expiresAt: number; keyId: KeyId | undefined } | undefined;
  /** Aborts when the lease is ended before its time: work under way is then of no use to anybody. */
  leaseEnd?(agentId: AgentId): AbortSignal;
  /** The policy in force now. Asked once per call. */
  policy(): Pick<Policy, 'decide' | 'owns' | 'revision'>;
  audit: Pick<AuditLog, 'append'>;
  handlers: ReadonlyMap<ToolName, ToolHandler>;
  /** `alex` or `group:platform`; undefined for an agent that is not known. */
  ownerOfAgent(agentId: string): string | undefined;
  rules: ToolRules;
  clock: Clock;
  /** Told of errors whose cause must not leave the process, so that somebody can find the request id in a log. */
  onInternalError?(error: CoralError): void;
}
