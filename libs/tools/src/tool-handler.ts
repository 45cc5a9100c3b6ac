import type { AgentId, KeyId, UserId } from '@coral/model';
import type { ToolArgs, ToolName } from './tool-definitions.js';
import type { ToolEnvelope } from './tool-results.js';

/** Who calls, as verified: where there is a tunnel, token and tunnel agree. */
export interface Caller {
  userId: UserId;
  /** The lease's id, `eph-…`; of an access at the public door, `pub-…`. */
  agentId: AgentId;
  /** The tunnel's key; undefined at the public door, where there is none. */
  keyId: KeyId | undefined;
}

export interface ToolContext {
  caller: Caller;
  /** Wall clock at the start of the call, ms. All windows of the call end here. */
  now: number;
  /** Aborts when the caller goes away, the lease ends or the deadline passes. */
  signal: AbortSignal;
}

/** One tool's work, and only that: the tool path has checked the caller, the arguments and the permission, and audits. */
export interface ToolHandler<N extends ToolName = ToolName> {
  readonly name: N;
  run(args: ToolArgs<N>, context: ToolContext): Promise<ToolEnvelope>;
}
