import { createParamDecorator, SetMetadata } from '@nestjs/common';
import type { ExecutionContext } from '@nestjs/common';
import type { Metadata } from '@grpc/grpc-js';
import type { KeyId, UserId } from '@coral/model';

/** Whose call it is, as proven by an API token. */
export interface Person {
  userId: UserId;
  tokenId: string;
}

/** What is known of one call before its handler runs. */
export interface CallContext {
  /** For audit rows: address as seen by the colony. */
  remoteAddress: string;
  /** A claim of the client, for audit rows only. */
  userAgent: string;
  /** `:authority` of the request: what the client calls this colony. A claim. */
  reachedAs: string;
  /** Whether nobody waits for the answer any more. */
  isGone(): boolean;
  /** Set when the handler admits people, and the caller is one. */
  person: Person | undefined;
  /** Set when the call came through the mesh: the verified key of the connection. */
  peer: KeyId | undefined;
}

/**
 * Who may call a handler. `person`: an API token is required. `person_or_anyone`: none is fine, a wrong one is not.
 * `peer`: whoever holds the mesh connection. `anyone`: the handler checks a credential of its own. `administrator`: the
 * door is the check (a Unix socket that only the colony's own user may open).
 */
export type Admitted = 'person' | 'person_or_anyone' | 'peer' | 'anyone' | 'administrator';

export const admittedKey = 'coral:admits';
export const Admits = (admitted: Admitted) => SetMetadata(admittedKey, admitted);

/** Keyed by the call's own metadata object: a context can neither outlive its call nor be seen from another. */
const contexts = new WeakMap<Metadata, CallContext>();

export function setCallContext(metadata: Metadata, context: CallContext): void {
  contexts.set(metadata, context);
}

/** Handler parameter: the {@link CallContext} of this call. */
export const Call = createParamDecorator((_: unknown, host: ExecutionContext): CallContext => {
  const context = contexts.get(host.switchToRpc().getContext<Metadata>());
  if (context === undefined) throw new TypeError('a handler ran without the caller guard');
  return context;
});

/** Handler parameter: the person calling; only where `person` is admitted. */
export const Caller = createParamDecorator((_: unknown, host: ExecutionContext): Person => {
  const person = contexts.get(host.switchToRpc().getContext<Metadata>())?.person;
  if (person === undefined) throw new TypeError('a handler for people ran without one');
  return person;
});
