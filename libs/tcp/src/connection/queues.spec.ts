import { SeededRandom } from '@coral/testing';
import { describe, expect, it } from 'vitest';
import type { SackBlock } from '../wire/segment.js';
import { ReceiveQueue } from './receive-queue.js';
import { IN_FLIGHT, LOST, SACKED, Scoreboard } from './scoreboard.js';
import { SendQueue } from './send-queue.js';
import { SequenceSpace } from './sequence.js';

const seeds = Array.from({ length: 60 }, (_, seed) => seed);

describe('the send queue', () => {
  it('gives back any piece of what was written, whatever the sizes', () => {
    for (const seed of seeds) {
      const random = new SeededRandom(`send ${seed}`);
      const queue = new SendQueue();
      const all = random.bytes(60_000);
      let written = 0;
      let released = 0;
      for (let step = 0; step < 400; step += 1) {
        const size = Math.min(random.below(random.pick([2, 600, 4_000])), all.length - written);
        queue.append(Buffer.from(all.subarray(written, written + size)));
        written += size;
        if (written > released) {
          const from = random.between(released, written - 1);
          const length = random.between(1, Math.min(written - from, 1_500));
          const target = Buffer.alloc(length + 7);
          queue.copy(1 + from, length, target, 7);
          expect(target.subarray(7).equals(all.subarray(from, from + length))).toBe(true);
        }
        if (random.chance(0.3)) {
          released = random.between(released, written);
          queue.release(1 + released);
        }
        expect(queue.start).toBe(1 + released);
        expect(queue.end).toBe(1 + written);
      }
    }
  });
});

describe('the receive queue', () => {
  it('puts any overlapping pieces in order, byte for byte, and counts them', () => {
    for (const seed of seeds) {
      const random = new SeededRandom(`receive ${seed}`);
      const space = new SequenceSpace(0);
      const queue = new ReceiveQueue(1_000);
      const all = random.bytes(4_000);
      const known = new Uint8Array(all.length);
      const read: Buffer[] = [];
      let readBytes = 0;
      for (let step = 0; step < 2_000 && readBytes < all.length; step += 1) {
        const from = Math.min(all.length - 1, random.chance(0.3) ? queue.next - 1 : random.below(all.length));
        const size = random.between(1, Math.min(300, all.length - from));
        queue.place(1 + from, Buffer.from(all.subarray(from, from + size)));
        known.fill(1, from, from + size);
        const next = known.indexOf(0) < 0 ? all.length : known.indexOf(0);
        expect(queue.next).toBe(1 + next);
        let early = 0;
        for (let index = next; index < all.length; index += 1) early += known[index]!;
        expect(queue.early).toBe(early);
        const blocks: SackBlock[] = [];
        queue.sackBlocks(blocks, 4, space);
        for (const [left, right] of blocks) {
          expect(left).toBeGreaterThan(queue.next);
          expect(known.subarray(left - 1, right - 1).indexOf(0)).toBe(-1);
          expect(known[left - 2]).toBe(0);
          expect(known[right - 1] ?? 0).toBe(0);
        }
        if (random.chance(0.5)) {
          const piece = queue.read();
          if (piece !== undefined) {
            read.push(piece);
            readBytes += piece.length;
          }
        }
        expect(queue.unread).toBe(next - readBytes);
      }
      for (let piece = queue.read(); piece !== undefined; piece = queue.read()) read.push(piece);
      expect(Buffer.concat(read).equals(all.subarray(0, queue.next - 1))).toBe(true);
    }
  });
});

describe('the scoreboard', () => {
  it('agrees with a plain list about what is in flight, lost and delivered', () => {
    for (const seed of seeds) {
      const random = new SeededRandom(`board ${seed}`);
      let heard = 0;
      const board = new Scoreboard((segment) => void (heard += segment.end - segment.start));
      let plain: { start: number; end: number; state: number }[] = [];
      let next = 1;
      let told = 0;
      for (let step = 0; step < 600; step += 1) {
        const choice = random.below(7);
        const any = plain.length === 0 ? undefined : random.pick(plain);
        if (choice <= 1 || any === undefined) {
          const size = random.between(1, 20);
          board.add(next, next + size, false, step, 0);
          plain.push({ start: next, end: next + size, state: IN_FLIGHT });
          next += size;
        } else if (choice === 2) {
          const inside = plain.filter(({ start, end }) => start >= any.start && end <= any.end + 40);
          const right = any.end + 40;
          told += board.sack(any.start, right);
          for (const one of inside) one.state = SACKED;
        } else if (choice === 3) {
          const ack = random.between(any.start, any.end);
          told += board.acknowledge(ack);
          plain = plain.filter(({ end }) => end > ack);
          if (plain[0] !== undefined && plain[0].start < ack) plain[0].start = ack;
        } else if (choice === 4) {
          let steps = random.below(4);
          let segment = board.oldest;
          while (segment !== undefined && steps > 0) {
            segment = segment.newer;
            steps -= 1;
          }
          if (segment !== undefined) {
            const { start } = segment;
            board.markLost(segment);
            plain.find((one) => one.start === start)!.state = LOST;
          }
        } else if (choice === 5) {
          const lost = board.nextLost();
          const expected = plain.find(({ state }) => state === LOST);
          expect(lost?.start).toBe(expected?.start);
          if (lost !== undefined && expected !== undefined) {
            board.resent(lost, step, 0);
            expected.state = IN_FLIGHT;
          }
        } else if (random.chance(0.1)) {
          board.forgetSacks();
          for (const one of plain) if (one.state === SACKED) one.state = LOST;
        }
        const sum = (state: number): number =>
          plain.reduce((bytes, one) => bytes + (one.state === state ? one.end - one.start : 0), 0);
        expect(board.pipe).toBe(sum(IN_FLIGHT));
        expect(board.hasLost).toBe(plain.some(({ state }) => state === LOST));
        expect(board.sackedCount).toBe(plain.filter(({ state }) => state === SACKED).length);
        expect(board.head?.start).toBe(plain[0]?.start);
        expect(board.last?.end).toBe(plain.at(-1)?.end);
      }
      expect(told).toBeGreaterThan(0);
      expect(heard).toBeGreaterThan(0);
    }
  });
});
