import type { AuditLog } from '@coral/audit';
import type { HttpOrigin } from './http-route.js';

/** Texts of clients are recorded up to this length. */
const maxClientText = 256;

/** Our own tokens and JWTs, wherever somebody put them. */
const secretWord = /coral_(?:pat|join)_[\w-]*|ey[\w-]+\.[\w.-]+/gi;

export interface RefusedRequest extends HttpOrigin {
  audience: 'mesh' | 'public';
  reason: string;
  /** Empty when the request could not be read that far. */
  method: string;
  /** Without its query. */
  path: string;
  userAgent: string;
}

/** The audit rows of HTTP requests that no route saw. Durable when the promise resolves; only then the refusal is told. */
export class HttpRefusals {
  private readonly audit: Pick<AuditLog, 'append'>;

  constructor(audit: Pick<AuditLog, 'append'>) {
    this.audit = audit;
  }

  async record({ audience, reason, method, path, userAgent, remoteAddress, peer }: RefusedRequest): Promise<void> {
    await this.audit.append({
      kind: 'auth.refused',
      user_id: null,
      agent_id: null,
      payload: {
        door: 'http',
        audience,
        error_reason: reason,
        method: method.slice(0, maxClientText),
        path: path.slice(0, maxClientText).replace(secretWord, '…'),
        remote_address: remoteAddress,
        user_agent: userAgent.slice(0, maxClientText),
        ...(peer === undefined ? {} : { peer }),
      },
    });
  }
}
