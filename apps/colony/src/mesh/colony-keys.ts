import { createHash, X509Certificate } from 'node:crypto';
import { chmod, mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { newSelfSigned, newWireGuardKeyPair } from '@coral/auth';
import { CoralError } from '@coral/errors';
import { z } from 'zod';

const base64Key = z.base64().transform((text) => Buffer.from(text, 'base64'));
const keyPairSchema = z.strictObject({
  public_key: base64Key.refine((key) => key.length === 32),
  private_key: base64Key.refine((key) => key.length === 32),
});
const certificateSchema = z.strictObject({ key_pem: z.string().min(1), cert_pem: z.string().min(1) });

export interface MeshKeyPair {
  publicKey: Buffer;
  privateKey: Buffer;
}

/** The colony's WireGuard key pair, made at its first start. Agents know the colony by it, so it must not change. */
export async function openMeshKeyPair(keysDirectory: string): Promise<MeshKeyPair> {
  const file = join(keysDirectory, 'wireguard.json');
  const keys = await openKeyFile(file, keyPairSchema, () => {
    const fresh = newWireGuardKeyPair();
    return {
      public_key: fresh.publicKey.toString('base64'),
      private_key: fresh.privateKey.toString('base64'),
    };
  });
  return { publicKey: keys.public_key, privateKey: keys.private_key };
}

/** Mesh driver `direct` only: the certificate that agents and laptops were told the hash of. */
export async function openDirectCertificate(
  keysDirectory: string,
): Promise<{ keyPem: string; certPem: string; sha256: Buffer }> {
  const file = join(keysDirectory, 'direct.json');
  const kept = await openKeyFile(file, certificateSchema, async () => {
    const fresh = await newSelfSigned('coral-colony');
    return { key_pem: fresh.keyPem, cert_pem: fresh.certPem };
  });
  const sha256 = createHash('sha256').update(new X509Certificate(kept.cert_pem).raw).digest();
  return { keyPem: kept.key_pem, certPem: kept.cert_pem, sha256 };
}

async function openKeyFile<T>(file: string, schema: z.ZodType<T>, make: () => unknown): Promise<T> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const text = (await readIfThere(file)) ?? (await createPrivate(file, JSON.stringify(await make())));
  await chmod(file, 0o600);
  const parsed = schema.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw new CoralError({
    kind: 'failed_precondition',
    reason: 'key_damaged',
    where: file,
    message: `${file} does not hold the key this colony wrote there.`,
    next: 'Restore it from a backup; without it every agent must enrol again (move the file away to have a new one made).',
    cause: parsed.error,
  });
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw thrown;
  }
}

/** Whole or not at all: a key that others rely on must not be half written when the power fails. */
async function createPrivate(file: string, text: string): Promise<string> {
  const draft = `${file}.new`;
  await using handle = await open(draft, 'w', 0o600);
  await handle.writeFile(text);
  await handle.sync();
  await rename(draft, file);
  await using directory = await open(dirname(file));
  await directory.sync();
  return text;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // Not JSON: the schema refuses it with the file's name.
  }
}
