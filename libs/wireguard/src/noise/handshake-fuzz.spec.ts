import { SeededRandom, VirtualClock } from '@coral/testing';
import { describe, expect, it } from 'vitest';
import { CookieChecker } from '../cookie/cookie-checker.js';
import { CookieJar } from '../cookie/cookie-jar.js';
import { setMac1 } from '../cookie/macs.js';
import { answerInitiation, InitiatorHandshake, openInitiation } from './handshake.js';
import { localIdentity, remoteIdentity } from './identity.js';
import { Tai64n } from './tai64n.js';

/** Mutated messages per run; CI takes a slice, `CORAL_FUZZ_HANDSHAKES=10000000` the whole. */
const rounds = Number(process.env['CORAL_FUZZ_HANDSHAKES'] ?? 15_000);
const seed = process.env['CORAL_FUZZ_SEED'] ?? 'handshakes';

const clock = new VirtualClock();
const dice = new SeededRandom(seed);
const colony = localIdentity(dice.bytes(32));
const client = localIdentity(dice.bytes(32));
const toColony = remoteIdentity(client, colony.publicKey);
const toClient = remoteIdentity(colony, client.publicKey);
const atColony = new CookieChecker(colony, { clock, random: dice.bytes });
const atClient = new CookieChecker(client, { clock, random: dice.bytes });
const jar = new CookieJar(toColony, clock);
const source = { carrier: 'udp', address: '192.0.2.1', port: 9 } as const;

const attempt = new InitiatorHandshake(client, toColony, {
  localIndex: 0x01020304,
  timestamp: new Tai64n(clock).next(),
  random: dice.bytes,
});
jar.stamp(attempt.message);
const opened = openInitiation(colony, attempt.message, () => toClient);
const response = opened && answerInitiation(opened, { localIndex: 0x05060708, random: dice.bytes })?.message;
if (!response) throw new Error('the handshake to mutate did not work');
const reply = atColony.reply(attempt.message, source);

/** Truncated, extended, with bits flipped, with bytes drawn anew, or nothing but noise: never the original. */
function mutated(original: Buffer): Buffer {
  for (;;) {
    const message = mutate(original);
    if (!message.equals(original)) return message;
  }
}

function mutate(original: Buffer): Buffer {
  const message = Buffer.from(original);
  switch (dice.below(5)) {
    case 0:
      return message.subarray(0, dice.below(message.length));
    case 1:
      return Buffer.concat([message, dice.bytes(dice.between(1, 200))]);
    case 2:
      for (let flips = dice.between(1, 4); flips > 0; flips--) {
        const at = dice.below(message.length);
        message[at] = (message[at] as number) ^ (1 << dice.below(8));
      }
      return message;
    case 3: {
      const from = dice.below(message.length);
      dice.bytes(Math.min(message.length - from, dice.between(1, 48))).copy(message, from);
      return message;
    }
    default:
      return dice.bytes(dice.chance(0.5) ? message.length : dice.below(300));
  }
}

/** Noise's part, which is authenticated; the sender index before it and mac2 behind it are not. */
const sameNoise = (a: Buffer, b: Buffer, from: number, to: number): boolean =>
  a.length === b.length && a.readUInt32LE(0) === b.readUInt32LE(0) && a.subarray(from, to).equals(b.subarray(from, to));

/** Says which message it was, so that it can be played again without the run. */
function demand(holds: boolean, what: string, message: Buffer): void {
  if (!holds) expect.fail(`${what}: ${message.toString('hex')} (CORAL_FUZZ_SEED=${seed})`);
}

/** A slice takes seconds, ten million take many minutes. */
const limitMs = 30_000 + rounds;

describe(`${rounds} mutated messages (CORAL_FUZZ_HANDSHAKES, CORAL_FUZZ_SEED=${seed})`, { timeout: limitMs }, () => {
  it('initiations: nothing is thrown, bad mac1 is seen, and with a right mac1 only what is whole opens', () => {
    let opens = 0;
    for (let i = 0; i < rounds; i++) {
      const message = mutated(attempt.message);
      const untouched = message.length === 148 && message.subarray(0, 132).equals(attempt.message.subarray(0, 132));
      demand(atColony.hasValidMac1(message) === untouched, 'mac1', message);
      demand(!atColony.hasValidMac2(message, source), 'mac2', message);
      // Who knows the colony's public key can make mac1 right; each such message costs a DH, so fewer of them.
      if (i % 4 !== 0 || message.length < 148) continue;
      if (message.length === 148) setMac1(message, colony.mac1Key);
      const result = openInitiation(colony, message, () => toClient);
      demand((result !== undefined) === sameNoise(message, attempt.message, 8, 116), 'initiation', message);
      if (result) opens += 1;
      result?.wipe();
    }
    // The reader is reached, not only refused at the length: flips in the sender index and mac2 open.
    expect(opens).toBeGreaterThan(0);
  });

  it('responses: nothing is thrown, none but the true one finishes, and that still does', () => {
    for (let i = 0; i < rounds / 4; i++) {
      const message = mutated(response);
      const untouched = message.length === 92 && message.subarray(0, 76).equals(response.subarray(0, 76));
      demand(atClient.hasValidMac1(message) === untouched, 'mac1', message);
      if (message.length === 92) setMac1(message, client.mac1Key);
      if (!sameNoise(message, response, 8, 60)) demand(!attempt.finish(message), 'response', message);
    }
    expect(attempt.finish(response)).toBeDefined();
  });

  it('cookie replies: nothing is thrown, none but the true one is taken, and that still is', () => {
    for (let i = 0; i < rounds; i++) {
      const message = mutated(reply);
      // The receiver index is matched by the device; the rest is authenticated.
      const same =
        message.length === 64 && message.readUInt32LE(0) === 3 && message.subarray(8).equals(reply.subarray(8));
      if (!same) demand(!jar.take(message), 'cookie reply', message);
    }
    expect(jar.take(reply)).toBe(true);
  });
});
