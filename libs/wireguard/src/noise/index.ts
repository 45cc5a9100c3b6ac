export { answerInitiation, InitiatorHandshake, openInitiation, OpenedInitiation } from './handshake.js';
export {
  localIdentity,
  remoteIdentity,
  wipeRemoteIdentity,
  type LocalIdentity,
  type RemoteIdentity,
} from './identity.js';
export { badWireGuardKey, wireGuardCryptoMissing } from './key.errors.js';
export type { RandomBytes } from './random.js';
export { isLater, Tai64n } from './tai64n.js';
export type { TransportKeys } from './transport-keys.js';
