export {
  AccessTokens,
  maxAccessTokenLength,
  maxAccessTokenSeconds,
  type AccessClaims,
  type AccessGrant,
  type Audience,
  type MeshGrant,
  type PublicGrant,
} from './access-token.js';
export {
  caLifetimeDays,
  CertificateAuthority,
  certificateFingerprint,
  newSelfSigned,
  serverLifetimeDays,
} from './certificates.js';
export {
  hashToken,
  newApiToken,
  newJoinToken,
  parseToken,
  tokenMatches,
  type NewToken,
  type TokenKind,
} from './opaque-token.js';
export { newWireGuardKeyPair } from './wireguard-keys.js';
