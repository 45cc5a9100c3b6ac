import { createHash, X509Certificate } from 'node:crypto';
import { chmod, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { newSelfSigned, newWireGuardKeyPair } from '@coral/auth';
import { z } from 'zod';
import { identityDamaged } from './enroll.errors.js';

const base64 = z.base64().transform((text) => Buffer.from(text, 'base64'));

const keysSchema = z.strictObject({
  public_key: base64.refine((key) => key.length === 32),
  private_key: base64.refine((key) => key.length === 32),
  direct_key_pem: z.string().min(1),
  direct_cert_pem: z.string().min(1),
});

const membershipSchema = z.strictObject({
  agent_id: z.string().min(1),
  colony_id: z.string().min(1),
  ca_fingerprint: z.string().min(1),
  owner: z.string(),
  labels: z.record(z.string(), z.string()),
  mesh: z.strictObject({
    colony_public_key: base64.refine((key) => key.length === 32),
    address_v4: z.string(),
    address_v6: z.string(),
    colony_address_v4: z.string(),
    colony_address_v6: z.string(),
    endpoint: z.string(),
    mtu: z.int().default(0),
    persistent_keepalive_seconds: z.int().default(0),
    routes: z.array(z.string()).default([]),
    direct: z.strictObject({ endpoint: z.string(), certificate_sha256: base64 }).optional(),
  }),
});

export interface AgentKeys {
  /** WireGuard, 32 bytes each. The private key never leaves this directory. */
  publicKey: Buffer;
  privateKey: Buffer;
  /** Only the mesh driver `direct` uses it. */
  certificate: { keyPem: string; certPem: string; sha256: Buffer };
}

/** What the colony said when this agent joined. */
export type Membership = z.output<typeof membershipSchema>;

/** `data_dir/identity`: the agent's keys and its membership, 0600, each written whole or not at all. */
export class IdentityStore {
  readonly directory: string;
  readonly #keysFile: string;
  readonly #membershipFile: string;

  constructor(dataDir: string) {
    this.directory = join(dataDir, 'identity');
    this.#keysFile = join(this.directory, 'keys.json');
    this.#membershipFile = join(this.directory, 'membership.json');
  }

  /** The keys, made at the first start. */
  async keys(): Promise<AgentKeys> {
    const kept = await readJson(this.#keysFile, keysSchema);
    if (kept !== undefined) return toKeys(kept);
    const pair = newWireGuardKeyPair();
    const certificate = await newSelfSigned('coral-agent');
    await this.#write(this.#keysFile, {
      public_key: pair.publicKey.toString('base64'),
      private_key: pair.privateKey.toString('base64'),
      direct_key_pem: certificate.keyPem,
      direct_cert_pem: certificate.certPem,
    });
    return { ...pair, certificate };
  }

  membership(): Promise<Membership | undefined> {
    return readJson(this.#membershipFile, membershipSchema);
  }

  async join(membership: Membership): Promise<void> {
    const { mesh } = membership;
    await this.#write(this.#membershipFile, {
      ...membership,
      mesh: {
        ...mesh,
        colony_public_key: mesh.colony_public_key.toString('base64'),
        ...(mesh.direct === undefined
          ? {}
          : { direct: { ...mesh.direct, certificate_sha256: mesh.direct.certificate_sha256.toString('base64') } }),
      },
    });
  }

  /** For keys that the colony knows from an enrolment whose answer never arrived. */
  async discardKeys(): Promise<void> {
    await rm(this.#keysFile, { force: true });
  }

  async #write(file: string, content: unknown): Promise<void> {
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    const draft = `${file}.new`;
    {
      await using handle = await open(draft, 'w', 0o600);
      await handle.writeFile(JSON.stringify(content));
      await handle.sync();
    }
    await rename(draft, file);
    await using directory = await open(this.directory);
    await directory.sync();
  }
}

function toKeys(kept: z.output<typeof keysSchema>): AgentKeys {
  const sha256 = createHash('sha256').update(new X509Certificate(kept.direct_cert_pem).raw).digest();
  return {
    publicKey: kept.public_key,
    privateKey: kept.private_key,
    certificate: { keyPem: kept.direct_key_pem, certPem: kept.direct_cert_pem, sha256 },
  };
}

async function readJson<S extends z.ZodType>(file: string, schema: S): Promise<z.output<S> | undefined> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') return undefined;
    throw identityDamaged(file, thrown);
  }
  await chmod(file, 0o600);
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw identityDamaged(file, cause);
  }
}
