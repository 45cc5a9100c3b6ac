// Where a client that was refused learns how to get in. Read first: RFC 9728 (protected resource), RFC 8414 (authorization
// server), RFC 8693 (token exchange), and the authorization page of the MCP specification.
import type { Permission } from '@coral/model';
import type { HttpReply, HttpRoute } from '../http/http-route.js';
import { sayProblem } from '../http/messages.js';
import type { PublicAddress } from './public-address.js';
import { tokenExchangeGrant, tokenPath } from './token-request.js';

export const resourceMetadataPath = '/.well-known/oauth-protected-resource';
export const serverMetadataPath = '/.well-known/oauth-authorization-server';

/** A document anybody may read, made when it is asked for: the port may have been chosen by the system. */
function documentRoute(make: () => object): HttpRoute {
  return {
    methods: ['GET', 'HEAD'],
    maxBodyBytes: 0,
    answer: (): Promise<HttpReply> =>
      Promise.resolve({
        status: 200,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(make()),
      }),
    say: sayProblem,
  };
}

export function resourceMetadataRoute(address: PublicAddress, scopes: readonly Permission[]): HttpRoute {
  return documentRoute(() => ({
    resource: address.resource,
    authorization_servers: [address.url],
    scopes_supported: scopes,
    bearer_methods_supported: ['header'],
    resource_name: 'Coral',
  }));
}

/** There is no authorization endpoint: nobody logs in here, an API token is exchanged. */
export function serverMetadataRoute(address: PublicAddress, scopes: readonly Permission[]): HttpRoute {
  return documentRoute(() => ({
    issuer: address.url,
    token_endpoint: `${address.url}${tokenPath}`,
    response_types_supported: [],
    grant_types_supported: [tokenExchangeGrant],
    token_endpoint_auth_methods_supported: ['none'],
    scopes_supported: scopes,
    protected_resources: [address.resource],
  }));
}
