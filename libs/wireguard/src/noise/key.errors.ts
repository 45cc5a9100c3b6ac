import { CoralError } from '@coral/errors';

/** A key that cannot take part in a handshake. `where` names which; the key itself is never in the text. */
export function badWireGuardKey(where: 'private_key' | 'public_key' | 'preshared_key', problem: string): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'bad_wireguard_key',
    where,
    message: `The WireGuard ${where.replace('_', ' ')} cannot be used: ${problem}.`,
    next: 'Give 32 bytes as `wg genkey`, `wg pubkey` or `wg genpsk` makes them.',
  });
}

/** OpenSSL in FIPS mode has neither X25519, ChaCha20-Poly1305 nor BLAKE2s. */
export function wireGuardCryptoMissing(primitive: string, cause: unknown): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'wireguard_crypto_missing',
    message: `This Node.js cannot speak WireGuard: its OpenSSL has no ${primitive} (FIPS mode?).`,
    next: 'Run a Node.js whose OpenSSL is not restricted to FIPS algorithms.',
    cause,
  });
}
