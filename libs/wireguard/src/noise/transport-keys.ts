import { createSecretKey, type KeyObject } from 'node:crypto';

/**
 * What a handshake leaves. The keys are KeyObjects: their raw bytes are wiped here, they die with the last reference.
 */
export interface TransportKeys {
  readonly send: KeyObject;
  readonly receive: KeyObject;
  /** By which the far end names this session in what it sends to us. */
  readonly localIndex: number;
  readonly remoteIndex: number;
  /** Only the initiator starts the next handshake, and only it may send first. */
  readonly initiator: boolean;
}

/** `raw`: the initiator's sending key, then the responder's. */
export function transportKeys(
  raw: [Buffer, Buffer],
  session: { localIndex: number; remoteIndex: number; initiator: boolean },
): TransportKeys {
  const [fromInitiator, fromResponder] = raw.map((key) => {
    const object = createSecretKey(key);
    key.fill(0);
    return object;
  }) as [KeyObject, KeyObject];
  return {
    send: session.initiator ? fromInitiator : fromResponder,
    receive: session.initiator ? fromResponder : fromInitiator,
    ...session,
  };
}
