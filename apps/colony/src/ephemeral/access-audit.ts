import type { AuditKind, AuditLog, JsonValue } from '@coral/audit';
import { CoralError } from '@coral/errors';
import type { CallContext, Person } from '../edge/call-context.js';

/** Who asks, and from where: the true subject of every row. */
export interface Asker {
  person: Person;
  call: CallContext;
}

/** The audit rows about access to the mesh. Each is durable when its promise resolves. */
export class AccessAudit {
  private readonly audit: Pick<AuditLog, 'append'>;

  constructor(audit: Pick<AuditLog, 'append'>) {
    this.audit = audit;
  }

  async record(
    kind: AuditKind,
    asker: Asker,
    agentId: string | null,
    payload: Record<string, JsonValue>,
  ): Promise<void> {
    const { person, call } = asker;
    await this.audit.append({
      kind,
      user_id: person.userId,
      agent_id: agentId,
      payload: { ...payload, token_id: person.tokenId, ip_address: call.remoteAddress, user_agent: call.userAgent },
    });
  }

  /** A refusal has its row before it is told; when that cannot be written, this is what is told instead. */
  async refusals<T>(action: string, asker: Asker, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (thrown) {
      if (isAuditFailure(thrown)) throw thrown;
      const refusal =
        thrown instanceof CoralError
          ? { kind: thrown.kind, reason: thrown.reason, message: thrown.message }
          : { kind: 'internal', reason: 'internal', message: 'an internal error' };
      await this.record('ephemeral.denied', asker, null, { action, ...refusal });
      throw thrown;
    }
  }
}

export function isAuditFailure(thrown: unknown): boolean {
  return thrown instanceof CoralError && thrown.reason === 'audit_unavailable';
}
