// POST /oauth/token: an API token goes in, a short access token for the public MCP endpoint comes out (RFC 8693).
import type { AuditLog } from '@coral/audit';
import { CoralError, httpStatusFor, toCoralError } from '@coral/errors';
import type { Clock } from '@coral/model';
import type { ApiTokenRepository } from '../credentials/api-token.repository.js';
import type { Person } from '../edge/call-context.js';
import type { JsonLogger } from '../edge/json-logger.js';
import type { Asker } from '../ephemeral/access-audit.js';
import type { PublicAccess } from '../ephemeral/public-access.js';
import { HttpRefusal } from '../http/http.errors.js';
import type { HttpReply, HttpRequest, HttpRoute } from '../http/http-route.js';
import type { PublicAddress } from './public-address.js';
import { RateBound } from './rate-bound.js';
import { accessTokenType, parseTokenRequest, TokenRequestRefused } from './token-request.js';
import type { OAuthErrorCode } from './token-request.js';

/** Attempts per address: a burst, then one a second. Guessing 190 bits is hopeless; this is about CPU and disk. */
export const tokenAttempts = { burst: 60, everyMs: 1_000, maxKeys: 10_000 };
/** A token request is a few hundred bytes. */
export const maxTokenRequestBytes = 16 * 1_024;
/** What a client calls itself is shown in lists up to this length. */
const maxClientName = 100;

class TooManyAttempts extends HttpRefusal {
  constructor(waitMs: number) {
    const seconds = Math.ceil(waitMs / 1_000);
    super(
      {
        kind: 'resource_exhausted',
        reason: 'too_many_attempts',
        message: 'Too many token requests came from this address.',
        next: `Try again in ${seconds} s.`,
      },
      429,
      { 'retry-after': String(seconds) },
    );
  }
}

export interface TokenEndpointParts {
  address: Pick<PublicAddress, 'resource'>;
  apiTokens: ApiTokenRepository;
  access: PublicAccess;
  audit: Pick<AuditLog, 'append'>;
  clock: Clock;
  logger: Pick<JsonLogger, 'failure'>;
}

export class TokenEndpoint implements HttpRoute {
  readonly methods = ['POST'];
  readonly maxBodyBytes = maxTokenRequestBytes;
  private readonly parts: TokenEndpointParts;
  private readonly attempts: RateBound;

  constructor(parts: TokenEndpointParts) {
    this.parts = parts;
    this.attempts = new RateBound(tokenAttempts, parts.clock);
  }

  async answer(request: HttpRequest): Promise<HttpReply> {
    try {
      return await this.exchange(request);
    } catch (thrown) {
      const error = toCoralError(thrown);
      if (error.kind === 'internal') this.parts.logger.failure('a token request failed', error);
      return this.say(error);
    }
  }

  /** RFC 6749 §5.2; RFC 8693 §2.2.2 says that a bad subject token is an `invalid_request`. */
  say(error: CoralError): HttpReply {
    const { kind, reason, message, next } = error;
    const code = error instanceof TokenRequestRefused ? error.code : (codes[kind] ?? 'invalid_request');
    const status = statusOf(error, code);
    const text = `${message}${next === undefined ? '' : ` ${next}`}`;
    return {
      status,
      headers: {
        'content-type': 'application/json',
        pragma: 'no-cache',
        ...(error instanceof HttpRefusal ? error.headers : {}),
        ...(status === 503 ? { 'retry-after': '1' } : {}),
      },
      body: JSON.stringify({ error: code, error_description: describable(text), reason }),
    };
  }

  private async exchange(request: HttpRequest): Promise<HttpReply> {
    const { access, address } = this.parts;
    const { wanted, person } = await this.admit(request);
    const asker = askerOf(person, request);
    const { expiresIn, scope, clientId } = wanted;
    const purpose = `MCP over HTTP${clientId === undefined ? '' : `, ${clientId.slice(0, maxClientName)}`}`;
    const ttl = expiresIn === undefined ? undefined : { seconds: expiresIn, nanos: 0 };
    const granted = await access.grant({ ttl, purpose, scope, resource: address.resource }, asker);
    if (request.signal.aborted) await access.takeBack(granted.lease, asker);
    const secondsLeft = Math.floor(granted.lease.expiresAt / 1_000) - Math.floor(this.parts.clock.now() / 1_000);
    return {
      status: 200,
      headers: { 'content-type': 'application/json', pragma: 'no-cache' },
      body: JSON.stringify({
        access_token: granted.accessToken,
        issued_token_type: accessTokenType,
        token_type: 'Bearer',
        expires_in: Math.max(0, secondsLeft),
        ...(scope === undefined ? {} : { scope: scope.join(' ') }),
      }),
    };
  }

  /** Who asks and for what. A refusal has its row before it is told. */
  private async admit(request: HttpRequest): Promise<{ wanted: ReturnType<typeof parseTokenRequest>; person: Person }> {
    try {
      const waitMs = this.attempts.take(request.remoteAddress);
      if (waitMs > 0) throw new TooManyAttempts(waitMs);
      if (!/^application\/x-www-form-urlencoded *(;|$)/i.test(request.headers['content-type'] ?? '')) {
        throw new TokenRequestRefused('invalid_request', 'content-type', 'expected application/x-www-form-urlencoded');
      }
      const wanted = parseTokenRequest(request.body.toString('utf8'), this.parts.address.resource);
      const { userId, tokenId } = this.parts.apiTokens.verify(wanted.subjectToken);
      return { wanted, person: { userId, tokenId } };
    } catch (thrown) {
      await this.recordRefusal(toCoralError(thrown), request);
      throw thrown;
    }
  }

  private async recordRefusal({ reason }: CoralError, { remoteAddress, userAgent }: HttpRequest): Promise<void> {
    await this.parts.audit.append({
      kind: 'auth.refused',
      user_id: null,
      agent_id: null,
      payload: {
        door: 'http',
        audience: 'public',
        asked_for: 'access_token',
        error_reason: reason,
        remote_address: remoteAddress,
        user_agent: userAgent.slice(0, 256),
      },
    });
  }
}

const codes: Partial<Record<CoralError['kind'], OAuthErrorCode>> = {
  resource_exhausted: 'temporarily_unavailable',
  unavailable: 'temporarily_unavailable',
  failed_precondition: 'temporarily_unavailable',
  internal: 'server_error',
};

/** RFC 6749 wants 400 for what the client did wrong; what it can only wait for keeps HTTP's own status. */
function statusOf(error: CoralError, code: OAuthErrorCode): number {
  if (error instanceof HttpRefusal) return error.status;
  if (code !== 'temporarily_unavailable' && code !== 'server_error') return 400;
  return error.kind === 'failed_precondition' ? 503 : httpStatusFor(error.kind);
}

/** RFC 6749 §5.2: printable ASCII without quotes and backslashes. */
function describable(text: string): string {
  return text.replaceAll('"', "'").replace(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, '?');
}

function askerOf(person: Person, { remoteAddress, userAgent, signal }: HttpRequest): Asker {
  const call = { remoteAddress, userAgent, reachedAs: '', isGone: () => signal.aborted, person, peer: undefined };
  return { person, call };
}
