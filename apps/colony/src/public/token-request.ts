// What may be asked of the token endpoint. Read first: RFC 8693 §2.1, RFC 6749 §3.2 and §5.2, RFC 8707 §2.
import { CoralError } from '@coral/errors';
import { isPermission } from '@coral/model';
import type { Permission } from '@coral/model';

export const tokenPath = '/oauth/token';
export const tokenExchangeGrant = 'urn:ietf:params:oauth:grant-type:token-exchange';
export const accessTokenType = 'urn:ietf:params:oauth:token-type:access_token';
const jwtType = 'urn:ietf:params:oauth:token-type:jwt';

export type OAuthErrorCode =
  | 'invalid_request'
  | 'unsupported_grant_type'
  | 'invalid_scope'
  | 'invalid_target'
  | 'temporarily_unavailable'
  | 'server_error';

/** RFC 6749 §5.2. `reason` is our word for it, in audit rows; `code` is what the client is told. */
export class TokenRequestRefused extends CoralError {
  readonly code: OAuthErrorCode;

  constructor(code: OAuthErrorCode, where: string, problem: string) {
    super({
      kind: 'invalid_argument',
      reason: `oauth_${code}`,
      where,
      message: `${where}: ${problem}`,
      next: 'docs/admin/colony-config.md shows a whole request.',
    });
    this.code = code;
  }
}

export interface TokenRequest {
  subjectToken: string;
  scope: Permission[] | undefined;
  /** Seconds, as asked for; undefined for the default. */
  expiresIn: number | undefined;
  /** Who the client says it is. */
  clientId: string | undefined;
}

/** Reads `application/x-www-form-urlencoded`. `resource` is the only one that tokens are issued for. */
export function parseTokenRequest(body: string, resource: string): TokenRequest {
  const form = new URLSearchParams(body);
  // RFC 6749 §3.2: a parameter must not stand there twice, and one without a value is absent.
  const one = (name: string): string | undefined => {
    const values = form.getAll(name);
    if (values.length > 1) throw new TokenRequestRefused('invalid_request', name, 'is there more than once');
    return values[0] || undefined;
  };
  const required = (name: string, wanted?: string): string => {
    const value = one(name);
    if (value === undefined) throw new TokenRequestRefused('invalid_request', name, 'is missing');
    if (wanted === undefined || value === wanted) return value;
    throw new TokenRequestRefused('invalid_request', name, `only ${wanted} is taken`);
  };
  if (required('grant_type') !== tokenExchangeGrant) {
    throw new TokenRequestRefused('unsupported_grant_type', 'grant_type', `only ${tokenExchangeGrant} is served`);
  }
  const subjectToken = required('subject_token');
  required('subject_token_type', accessTokenType);
  if (one('actor_token') !== undefined) {
    throw new TokenRequestRefused('invalid_request', 'actor_token', 'nobody acts for somebody else here');
  }
  if (![undefined, accessTokenType, jwtType].includes(one('requested_token_type'))) {
    throw new TokenRequestRefused('invalid_request', 'requested_token_type', `only ${accessTokenType} is issued`);
  }
  for (const name of ['resource', 'audience']) {
    if (form.getAll(name).some((value) => value !== resource)) {
      throw new TokenRequestRefused('invalid_target', name, `tokens are issued for ${resource} only`);
    }
  }
  return {
    subjectToken,
    scope: scopeOf(one('scope')),
    expiresIn: secondsOf(one('expires_in')),
    clientId: one('client_id'),
  };
}

function scopeOf(text: string | undefined): Permission[] | undefined {
  if (text === undefined) return undefined;
  const words = [...new Set(text.split(' '))];
  if (words.every(isPermission)) return words;
  throw new TokenRequestRefused(
    'invalid_scope',
    'scope',
    'it names something that is no permission; there is no "all"',
  );
}

function secondsOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new TokenRequestRefused('invalid_request', 'expires_in', 'expected a whole number of seconds');
}
