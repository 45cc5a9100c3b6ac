import { CoralError, httpStatusFor } from '@coral/errors';
import type { ErrorDetails } from '@coral/errors';

/** A request that is refused before any route sees it, with the status HTTP has for that. */
export class HttpRefusal extends CoralError {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(details: ErrorDetails, status = httpStatusFor(details.kind), headers: Record<string, string> = {}) {
    super(details);
    this.status = status;
    this.headers = headers;
  }
}

/** Whoever rebinds a DNS name to this machine asks for that name, not for ours. */
export class HostRefused extends HttpRefusal {
  constructor(known: readonly string[]) {
    super({
      kind: 'permission_denied',
      reason: 'host_refused',
      where: 'host',
      message: 'The request is for another host than this colony.',
      next: `Call the colony by one of its names (${known.join(', ')}); mcp_server.public_url in colony.yaml adds one.`,
    });
  }
}

export class OriginRefused extends HttpRefusal {
  constructor() {
    super({
      kind: 'permission_denied',
      reason: 'origin_refused',
      where: 'origin',
      message: 'Web pages of this origin may not call the colony.',
      next: 'Ask the administrator to add the origin to mcp_server.allowed_origins in colony.yaml.',
    });
  }
}

/** A URL ends up in histories and logs of everybody on the way; what was in one is no secret any more. */
export class TokenInQuery extends HttpRefusal {
  constructor() {
    super({
      kind: 'invalid_argument',
      reason: 'token_in_query',
      where: 'query',
      message: 'The URL carries what looks like a credential.',
      next: 'Send it as `authorization: Bearer …`, and have it revoked: it may have been logged on its way here.',
    });
  }
}

export class NoSuchPath extends HttpRefusal {
  constructor() {
    super({
      kind: 'not_found',
      reason: 'no_such_path',
      message: 'Nothing is served at this path.',
      next: 'MCP is served at /mcp.',
    });
  }
}

export class MethodNotAllowed extends HttpRefusal {
  constructor(methods: readonly string[]) {
    super(
      {
        kind: 'invalid_argument',
        reason: 'method_not_allowed',
        message: `This path takes ${methods.join(' and ')} only.`,
        next: `Send a ${methods[0]} request.`,
      },
      405,
      { allow: methods.join(', ') },
    );
  }
}

export class BodyTooLarge extends HttpRefusal {
  constructor(maxBytes: number) {
    super(
      {
        kind: 'resource_exhausted',
        reason: 'malformed_too_large',
        message: `The message is larger than ${maxBytes} bytes.`,
        next: 'Send a smaller one.',
      },
      413,
      { connection: 'close' },
    );
  }
}

export class TooBusy extends HttpRefusal {
  constructor(limit: number) {
    super(
      {
        kind: 'unavailable',
        reason: 'too_many_requests',
        message: `The colony is answering ${limit} requests at this door already.`,
        next: 'Try again in a second.',
      },
      503,
      { 'retry-after': '1' },
    );
  }
}

/** The client went away, or stopped sending, before its request was whole. */
export class RequestIncomplete extends HttpRefusal {
  constructor() {
    super({ kind: 'invalid_argument', reason: 'request_incomplete', message: 'The request was cut off in its body.' });
  }
}
