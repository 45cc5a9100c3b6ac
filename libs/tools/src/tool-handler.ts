import type { AgentId, KeyId, UserId } from '@coral/model';
import type { ToolArgs, ToolName } from './tool-definitions.js';
import type { ToolEnvelope } from './tool-results.js';

/** Who calls, as verified: token and tunnel agree. */
export interface Caller {
  userId: UserId;
  /** The lease's id, `eph-…`. */
  agentId: AgentId;
  keyId: KeyId;
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
