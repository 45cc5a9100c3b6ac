// What a recorded TLS 1.3 connection said, by the secrets one end wrote to its key log. Read first: RFC 8446 §5 (records),
// §7.3 (traffic keys), and the SSLKEYLOGFILE format (RFC 9850).
import { createDecipheriv, createHmac } from 'node:crypto';

/** Secrets of one connection by the client random, in hex: label → secret. */
export type KeyLog = ReadonlyMap<string, ReadonlyMap<string, Buffer>>;

export function readKeyLog(text: string): KeyLog {
  const log = new Map<string, Map<string, Buffer>>();
  for (const line of text.split('\n')) {
    const [label, random, secret] = line.split(' ');
    if (label === undefined || random === undefined || secret === undefined) continue;
    const secrets = log.get(random) ?? new Map<string, Buffer>();
    log.set(random, secrets.set(label, Buffer.from(secret, 'hex')));
  }
  return log;
}

interface TlsRecord {
  type: number;
  header: Buffer;
  body: Buffer;
}

const handshake = 22;
const applicationData = 23;
const tagBytes = 16;

/** A record that was cut off in the middle ends the list. */
function recordsOf(bytes: Buffer): TlsRecord[] {
  const records: TlsRecord[] = [];
  for (let at = 0; at + 5 <= bytes.length;) {
    const end = at + 5 + bytes.readUInt16BE(at + 3);
    if (end > bytes.length) break;
    records.push({
      type: bytes.readUInt8(at),
      header: bytes.subarray(at, at + 5),
      body: bytes.subarray(at + 5, end),
    });
    at = end;
  }
  return records;
}

const ciphers: Readonly<
  Record<number, { name: 'aes-128-gcm' | 'aes-256-gcm' | 'chacha20-poly1305'; hash: string; key: number }>
> = {
  0x13_01: { name: 'aes-128-gcm', hash: 'sha256', key: 16 },
  0x13_02: { name: 'aes-256-gcm', hash: 'sha384', key: 32 },
  0x13_03: { name: 'chacha20-poly1305', hash: 'sha256', key: 32 },
};

/** HKDF-Expand-Label with an empty context (RFC 8446 §7.1); all that is asked for fits one block. */
function expandLabel(hash: string, secret: Buffer, label: string, length: number): Buffer {
  const name = Buffer.from(`tls13 ${label}`);
  const info = Buffer.concat([Buffer.from([0, length, name.length]), name, Buffer.from([0, 1])]);
  return createHmac(hash, secret).update(info).digest().subarray(0, length);
}

/** One direction: first under the handshake secret, then under the application's. */
function decrypt(records: TlsRecord[], suite: (typeof ciphers)[number], secrets: readonly Buffer[]): Buffer {
  const said: Buffer[] = [];
  const keysOf = (secret: Buffer): { key: Buffer; iv: Buffer; sequence: bigint } => ({
    key: expandLabel(suite.hash, secret, 'key', suite.key),
    iv: expandLabel(suite.hash, secret, 'iv', 12),
    sequence: 0n,
  });
  const epochs = secrets.map(keysOf);
  let epoch = epochs.shift();
  for (const { type, header, body } of records) {
    if (type !== applicationData) continue;
    for (;;) {
      if (epoch === undefined) throw new Error('a record that no secret of the key log opens');
      const plain = open(suite.name, epoch, header, body);
      if (plain === undefined) {
        epoch = epochs.shift();
        continue;
      }
      // The last byte that is not zero is the true type of the record; zeros after it are padding.
      const end = plain.findLastIndex((byte) => byte !== 0);
      if (plain[end] === applicationData) said.push(plain.subarray(0, end));
      break;
    }
  }
  return Buffer.concat(said);
}

function open(
  name: (typeof ciphers)[number]['name'],
  epoch: { key: Buffer; iv: Buffer; sequence: bigint },
  header: Buffer,
  body: Buffer,
): Buffer | undefined {
  const nonce = Buffer.from(epoch.iv);
  nonce.writeBigUInt64BE(nonce.readBigUInt64BE(4) ^ epoch.sequence, 4);
  const options = { authTagLength: tagBytes };
  const decipher =
    name === 'chacha20-poly1305'
      ? createDecipheriv(name, epoch.key, nonce, options)
      : createDecipheriv(name, epoch.key, nonce, options);
  decipher.setAAD(header, { plaintextLength: body.length - tagBytes });
  decipher.setAuthTag(body.subarray(-tagBytes));
  const plain = decipher.update(body.subarray(0, -tagBytes));
  try {
    decipher.final();
  } catch {
    return undefined; // Not this epoch's key: the caller goes on to the next.
  }
  epoch.sequence += 1n;
  return plain;
}

/** True when the bytes begin as a TLS connection does. */
export function isTls(sent: Buffer): boolean {
  return sent[0] === handshake && sent[1] === 3;
}

/** What client and server said to each other inside TLS 1.3. Throws when the key log does not open it. */
export function openTls13(sent: Buffer, received: Buffer, log: KeyLog): { sent: Buffer; received: Buffer } {
  const [fromClient, fromServer] = [recordsOf(sent), recordsOf(received)];
  const hello = fromServer.find(({ type }) => type === handshake)?.body;
  const random = fromClient[0]?.body.subarray(6, 38).toString('hex') ?? '';
  const secrets = log.get(random);
  // A server hello: type, length (3), version (2), random (32), session id, then the suite.
  const suite = hello && ciphers[hello.readUInt16BE(39 + hello.readUInt8(38))];
  if (!suite || !secrets) throw new Error(`no secrets for the connection with client random ${random}`);
  const of = (side: 'CLIENT' | 'SERVER'): Buffer[] =>
    [`${side}_HANDSHAKE_TRAFFIC_SECRET`, `${side}_TRAFFIC_SECRET_0`].flatMap((label) => secrets.get(label) ?? []);
  return { sent: decrypt(fromClient, suite, of('CLIENT')), received: decrypt(fromServer, suite, of('SERVER')) };
}
