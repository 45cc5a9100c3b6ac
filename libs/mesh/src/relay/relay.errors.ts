import { CoralError } from '@coral/errors';

/** `HTTPS_PROXY` is not what it should be. The URL itself may hold a password and is not repeated. */
export function badProxyUrl(problem: string): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'bad_proxy_url',
    where: 'HTTPS_PROXY',
    message: `HTTPS_PROXY cannot be used: ${problem}.`,
    next: 'Set it to http://host:port or https://host:port, with user:password@ before the host when the proxy asks for them.',
  });
}

export function proxyUnreachable(proxy: string, problem: string, cause: unknown): CoralError {
  return failed('proxy_unreachable', proxy, `The proxy ${proxy} cannot be reached: ${problem}.`, cause, {
    next: 'Check HTTPS_PROXY, or add the colony’s host to NO_PROXY if no proxy is needed to reach it.',
  });
}

/** 407. `schemes`: what the proxy asks for, as it says it. */
export function proxyWantsCredentials(proxy: string, schemes: readonly string[], sent: boolean): CoralError {
  const basic = schemes.length === 0 || schemes.some((scheme) => scheme.toLowerCase() === 'basic');
  const problem = sent ? 'did not accept the user and password in HTTPS_PROXY' : 'asks for a user and a password';
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'proxy_auth_required',
    where: proxy,
    message: basic
      ? `The proxy ${proxy} ${problem} (407).`
      : `The proxy ${proxy} only takes ${schemes.join(' or ')}, which Coral does not speak (407).`,
    next: basic
      ? 'Set HTTPS_PROXY to http://user:password@host:port; write special characters as %XX.'
      : 'Run a local proxy that signs in for you (cntlm, px) and point HTTPS_PROXY at it, or ask for a rule without sign-in.',
  });
}

/** Any other answer to CONNECT than a yes. */
export function proxyRefused(proxy: string, status: number, to: string): CoralError {
  return new CoralError({
    kind: status >= 500 ? 'unavailable' : 'failed_precondition',
    reason: 'proxy_refused',
    where: proxy,
    message: `The proxy ${proxy} does not connect to ${to}: it answered ${status}.`,
    next:
      status >= 500
        ? `Check that ${to} can be reached from the proxy's network, then try again.`
        : `Ask whoever runs the proxy to allow CONNECT to ${to}, or add the host to NO_PROXY if it is in your own network.`,
  });
}

export function proxyNotHttp(proxy: string, cause: unknown): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'proxy_not_http',
    where: proxy,
    message: `What answers at ${proxy} is not an HTTP proxy.`,
    next: 'Check host, port and scheme in HTTPS_PROXY: http:// for most proxies, https:// for those behind TLS; SOCKS is not supported.',
    cause,
  });
}

export function proxyTimeout(proxy: string, ms: number): CoralError {
  return timedOut('proxy_timeout', proxy, `The proxy ${proxy} has not opened the way within ${ms} ms.`, {
    next: 'Check that the proxy works for other programs, and that it may reach the colony.',
  });
}

export function relayUnreachable(colony: string, problem: string, cause: unknown): CoralError {
  return failed('relay_unreachable', colony, `No colony answers at ${colony}: ${problem}.`, cause, {
    next: 'Check that the colony runs and that its endpoint is right; behind a company proxy, set HTTPS_PROXY.',
  });
}

export function relayTimeout(colony: string, ms: number): CoralError {
  return timedOut('relay_timeout', colony, `The colony at ${colony} has not opened the relay within ${ms} ms.`, {
    next: 'Check the network between here and the colony; behind a company proxy, set HTTPS_PROXY.',
  });
}

/** The certificate shown is not of the pinned CA. */
export function relayWrongCa(colony: string, cause: unknown): CoralError {
  return new CoralError({
    kind: 'unauthenticated',
    reason: 'wrong_ca',
    where: colony,
    message: `What answers at ${colony} is not the colony that was pinned: another CA signed its certificate.`,
    next: 'If a company proxy inspects TLS, have it exempt this host. Else compare with the ca_fingerprint that the colony prints.',
    cause,
  });
}

export function relayWrongName(colony: string, cause: unknown): CoralError {
  return new CoralError({
    kind: 'unauthenticated',
    reason: 'wrong_name',
    where: colony,
    message: `The colony's certificate is not for ${colony}.`,
    next: 'Dial the colony by a name that its configuration lists, or add this one there.',
    cause,
  });
}

export function relayCertificateTime(colony: string, cause: unknown): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'certificate_not_in_time',
    where: colony,
    message: `By this machine's clock the certificate of ${colony} is not valid now.`,
    next: 'Check the clock here; if it is right, restart the colony, which takes a new certificate at every start.',
    cause,
  });
}

/** An HTTP answer in place of the upgrade. */
export function relayRefused(colony: string, status: number): CoralError {
  const busy = status === 429 || status >= 500;
  return new CoralError({
    kind: busy ? 'unavailable' : 'failed_precondition',
    reason: 'relay_refused',
    where: colony,
    message: `The colony at ${colony} does not open the relay: it answered ${status}.`,
    next: busy
      ? 'Try again in a moment; many connections from one address are refused.'
      : 'Check that the endpoint is the colony’s own and that whatever stands before it (an ingress) passes WebSockets.',
  });
}

/** The connection was open and is no more. */
export function relayLost(colony: string, code: number, reason: string): CoralError {
  const why = reason === '' ? `code ${code}` : `${reason}, code ${code}`;
  return failed('relay_lost', colony, `The relay connection to ${colony} ended: ${why}.`, undefined, {
    next: 'It is opened again by itself while it is needed.',
  });
}

/** Something that no colony sends. */
export function relayBrokeRules(colony: string, problem: string): CoralError {
  return failed('relay_broke_rules', colony, `The relay at ${colony} sent ${problem}.`, undefined, {
    next: 'Check that colony and client are of the same version and that nothing on the way changes WebSocket messages.',
  });
}

interface Next {
  next: string;
}

function failed(reason: string, where: string, message: string, cause: unknown, more: Next): CoralError {
  return new CoralError({ kind: 'unavailable', reason, where, message, cause, ...more });
}

function timedOut(reason: string, where: string, message: string, more: Next): CoralError {
  return new CoralError({ kind: 'deadline_exceeded', reason, where, message, ...more });
}
