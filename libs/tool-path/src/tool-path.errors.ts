import { nearest } from '@coral/config';
import { CoralError } from '@coral/errors';
import type { Permission } from '@coral/model';
import { visibleText } from './visible-text.js';

/** Names and texts of strangers are quoted up to this length. */
const maxQuoted = 80;

export function quote(text: string): string {
  return visibleText(JSON.stringify(text.length > maxQuoted ? `${text.slice(0, maxQuoted)}…` : text));
}

const newLease = 'Ask for a new lease (RequestEphemeralAccess; `coral ask` does so by itself) and call again.';

export class TokenMissing extends CoralError {
  constructor() {
    const message = 'The call carries no access token.';
    super({ kind: 'unauthenticated', reason: 'token_missing', message, next: newLease });
  }
}

export class TokenInvalid extends CoralError {
  constructor(cause: unknown) {
    const message = 'The access token could not be verified.';
    super({ kind: 'unauthenticated', reason: 'token_invalid', message, next: newLease, cause });
  }
}

export class TokenWrongTunnel extends CoralError {
  constructor() {
    super({
      kind: 'unauthenticated',
      reason: 'token_wrong_tunnel',
      message: 'The access token belongs to another mesh key than the one this connection was made with.',
      next: 'Send the token through the tunnel of the lease it was issued with.',
    });
  }
}

export class LeaseExpired extends CoralError {
  constructor() {
    const message = 'The lease of this access token has ended.';
    super({ kind: 'unauthenticated', reason: 'lease_expired', message, next: newLease });
  }
}

export class UnknownTool extends CoralError {
  constructor(name: string, known: readonly string[]) {
    const meant = nearest(name, known);
    super({
      kind: 'not_found',
      reason: 'unknown_tool',
      where: 'name',
      message: `There is no tool ${quote(name)}${meant ? `; did you mean ${meant}?` : '.'}`,
      next: 'List the tools you may call with tools/list.',
    });
  }
}

export class BadArgument extends CoralError {
  constructor(argument: string, message: string, next: string, reason = 'bad_argument') {
    super({ kind: 'invalid_argument', reason, where: argument, message, next });
  }
}

export class ToolDisabled extends CoralError {
  constructor(tool: string) {
    super({
      kind: 'permission_denied',
      reason: 'tool_disabled',
      message: `${tool} is switched off on this colony.`,
      next: `Ask an administrator to add ${tool} to mcp_server.tools in colony.yaml, or use another tool.`,
    });
  }
}

export class MissingPermission extends CoralError {
  constructor(user: string, tool: string, permission: Permission) {
    super({
      kind: 'permission_denied',
      reason: 'missing_permission',
      message: `${user} lacks the permission ${permission}, which ${tool} needs.`,
      next: `Ask an administrator to bind ${user} to a role with ${permission} in the policy file.`,
    });
  }
}

/** The policy would allow it; the token at hand was limited to less. */
export class InsufficientScope extends CoralError {
  readonly scope: Permission;

  constructor(tool: string, permission: Permission) {
    super({
      kind: 'permission_denied',
      reason: 'insufficient_scope',
      where: 'scope',
      message: `The access token is limited to a scope without ${permission}, which ${tool} needs.`,
      next: `Exchange your API token for an access token whose scope has ${permission}, or ask for no scope at all.`,
    });
    this.scope = permission;
  }
}

export class NotAgentOwner extends CoralError {
  constructor(user: string, tool: string, agentId: string) {
    super({
      kind: 'permission_denied',
      reason: 'not_agent_owner',
      where: 'agent_id',
      message: `${user} does not own agent ${quote(agentId)}, which ${tool} requires.`,
      next: 'Name an agent that is yours, or ask the owner of this one (`coral agent list`).',
    });
  }
}

export class UnknownAgent extends CoralError {
  constructor(agentId: string) {
    super({
      kind: 'not_found',
      reason: 'unknown_agent',
      where: 'agent_id',
      message: `No agent ${quote(agentId)} with an owner is known here.`,
      next: 'Take an id from `coverage.answered` of another tool, for example coral_get_health.',
    });
  }
}

export class IdempotencyKeyReused extends CoralError {
  constructor() {
    super({
      kind: 'invalid_argument',
      reason: 'idempotency_key_reused',
      where: 'idempotency-key',
      message: 'This idempotency key was used before for a call with another tool or other arguments.',
      next: 'Repeat a key only to retry the very same call; make a new one for every other call.',
    });
  }
}

export class ToolTooSlow extends CoralError {
  constructor(tool: string, deadlineMs: number) {
    super({
      kind: 'deadline_exceeded',
      reason: 'tool_deadline',
      message: `${tool} did not answer within ${deadlineMs} ms.`,
      next: 'Ask for less: a shorter time_range, one service, or a narrower query. Then try again.',
    });
  }
}

export class CallCancelled extends CoralError {
  constructor() {
    const message = 'The caller went away before the answer was ready.';
    super({ kind: 'cancelled', reason: 'cancelled', message });
  }
}

export class ResponseTooLarge extends CoralError {
  constructor(bytes: number, maxBytes: number, hint: string) {
    super({
      kind: 'resource_exhausted',
      reason: 'response_too_large',
      message: `The answer has ${bytes} bytes; ${maxBytes} are allowed, and not one row of it fits.`,
      next: hint,
    });
  }
}

export class AuditFailed extends CoralError {
  constructor(cause: unknown) {
    super({
      kind: 'unavailable',
      reason: 'audit_unavailable',
      message: 'The audit row of this call could not be written, and without a row nothing is answered.',
      next: "Try again; if it stays so, look at the disk of the colony's audit directory.",
      cause,
    });
  }
}

/** What is wrong with the rules or the wiring, found when the path is built rather than at the first call. */
export class BadToolRules extends CoralError {
  constructor(where: string, message: string, next: string) {
    super({ kind: 'failed_precondition', reason: 'bad_tool_rules', where, message, next });
  }
}
