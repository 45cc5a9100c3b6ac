import { CoralError } from '@coral/errors';

export class BadPublicKey extends CoralError {
  constructor(where: string, problem: string) {
    super({
      kind: 'invalid_argument',
      reason: 'bad_public_key',
      where,
      message: `${where}: ${problem}.`,
      next: 'Send the 32 bytes of an X25519 (WireGuard) public key, not their base64 text.',
    });
  }
}

export class BadCertificateHash extends CoralError {
  constructor(problem: string) {
    super({
      kind: 'invalid_argument',
      reason: 'bad_certificate_hash',
      where: 'direct_certificate_sha256',
      message: `direct_certificate_sha256: ${problem}.`,
      next: 'This colony uses the mesh driver `direct`: send the SHA-256 (32 bytes) of your DER certificate.',
    });
  }
}

/** Asked of clients that bring their own key; they make a certificate and ask again. */
export class DirectCertificateMissing extends CoralError {
  constructor() {
    super({
      kind: 'failed_precondition',
      reason: 'direct_certificate_missing',
      where: 'direct_certificate_sha256',
      message: 'This colony uses the mesh driver `direct`, where a key alone does not let anybody in.',
      next: 'Send the SHA-256 of a self-signed certificate of yours too; `coral` does so by itself.',
    });
  }
}
