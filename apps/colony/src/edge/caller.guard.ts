import { Injectable } from '@nestjs/common';
import type { CanActivate, ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { Metadata } from '@grpc/grpc-js';
import { AuditLog } from '@coral/audit';
import type { AuditKind } from '@coral/audit';
import { CoralError } from '@coral/errors';
import { peerOf, remoteAddressOf } from '@coral/rpc';
import { ApiTokenRepository } from '../credentials/api-token.repository.js';
import { ApiTokenMissing } from '../credentials/credential.errors.js';
import { admittedKey, setCallContext } from './call-context.js';
import type { Admitted, CallContext, Person } from './call-context.js';
import { MalformedMessage } from './grpc-strategy.js';

interface GrpcCall {
  metadata: Metadata;
  getPath(): string;
  getPeer(): string;
  getHost(): string;
  readonly cancelled: boolean;
}

/** Bytes of an `authorization` value; ours are far below. */
const maxCredentialLength = 8_192;

/** Knows the caller before any handler runs. A handler that does not say whom it admits admits nobody. */
@Injectable()
export class CallerGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly tokens: ApiTokenRepository,
    private readonly audit: AuditLog,
  ) {}

  async canActivate(host: ExecutionContext): Promise<boolean> {
    // Nest HTTP serves the operations port only, which has nothing to protect but its own numbers.
    if (host.getType() !== 'rpc') return true;
    const [request, metadata, call] = host.getArgs<[unknown, Metadata, GrpcCall]>();
    const admitted = this.reflector.getAllAndOverride<Admitted | undefined>(admittedKey, [
      host.getHandler(),
      host.getClass(),
    ]);
    if (admitted === undefined) throw new TypeError(`${call.getPath()} does not say whom it admits`);
    const context: CallContext = {
      remoteAddress: remoteAddressOf(call),
      userAgent: firstText(metadata, 'user-agent'),
      reachedAs: call.getHost(),
      isGone: () => call.cancelled,
      person: undefined,
      peer: peerOf(metadata),
    };
    if (admitted === 'person' || admitted === 'person_or_anyone') {
      context.person = await this.personOf(metadata, admitted === 'person', call, context);
    }
    if (admitted === 'peer' && context.peer === undefined)
      throw new TypeError(`${call.getPath()} was reached without a peer`);
    if (request instanceof MalformedMessage) await this.refuseMalformed(request, call, context);
    setCallContext(metadata, context);
    return true;
  }

  private async personOf(
    metadata: Metadata,
    required: boolean,
    call: GrpcCall,
    context: CallContext,
  ): Promise<Person | undefined> {
    const text = bearerOf(metadata);
    if (text === undefined && !required) return undefined;
    try {
      if (text === undefined) throw new ApiTokenMissing();
      const { userId, tokenId } = this.tokens.verify(text);
      return { userId, tokenId };
    } catch (thrown) {
      if (thrown instanceof CoralError) await this.record('auth.refused', thrown.reason, call, context);
      throw thrown;
    }
  }

  private async refuseMalformed(message: MalformedMessage, call: GrpcCall, context: CallContext): Promise<never> {
    const kind = refusalKinds[serviceOf(call)] ?? 'auth.refused';
    await this.record(kind, 'malformed_request', call, context);
    throw new CoralError({
      kind: 'invalid_argument',
      reason: 'malformed_request',
      message: `The request of ${call.getPath()} could not be read: ${message.problem}.`,
      next: 'Send the message as the published .proto files describe it; no number may be beyond 2^53.',
    });
  }

  private async record(kind: AuditKind, reason: string, call: GrpcCall, context: CallContext): Promise<void> {
    await this.audit.append({
      kind,
      user_id: context.person?.userId ?? null,
      agent_id: null,
      payload: {
        reason,
        // The index of tool calls has a row for each attempt, the unreadable ones too.
        ...(kind === 'tool_call.outcome' ? { outcome: 'invalid', error_reason: reason, door: 'grpc' } : {}),
        method: call.getPath(),
        ip_address: context.remoteAddress,
        user_agent: context.userAgent,
      },
    });
  }
}

const refusalKinds: Record<string, AuditKind> = {
  EphemeralAgentService: 'ephemeral.denied',
  AgentEnrollmentService: 'agent.refused',
  AdminService: 'admin',
  McpService: 'tool_call.outcome',
};

function serviceOf(call: GrpcCall): string {
  return call.getPath().split('/')[1]?.split('.').at(-1) ?? '';
}

/** The credential of `authorization: Bearer …`. Two of them are none: nobody should have to guess which one counts. */
export function bearerOf(metadata: Metadata): string | undefined {
  const values = metadata.get('authorization');
  const [value] = values;
  if (values.length !== 1 || typeof value !== 'string' || value.length > maxCredentialLength) return undefined;
  return /^Bearer +(\S+)$/i.exec(value)?.[1];
}

export function firstText(metadata: Metadata, key: string): string {
  const [value] = metadata.get(key);
  return typeof value === 'string' ? value : '';
}
