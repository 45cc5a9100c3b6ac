import { VirtualClock } from '@coral/testing';
import { describe, expect, it } from 'vitest';
import { sourceKey } from './endpoint.js';
import { RateLimiter } from './rate-limiter.js';

const udp = (address: string): string => sourceKey({ carrier: 'udp', address, port: 1 });

function allowed(limiter: RateLimiter, source: string, tries: number): number {
  let count = 0;
  for (let i = 0; i < tries; i++) if (limiter.allows(source)) count += 1;
  return count;
}

describe('the rate limiter', () => {
  it('lets 5 through at once, then one every 50 ms', () => {
    const clock = new VirtualClock();
    const limiter = new RateLimiter(clock);
    expect(allowed(limiter, 'a', 100)).toBe(5);
    clock.advance(49);
    expect(allowed(limiter, 'a', 1)).toBe(0);
    clock.advance(1);
    expect(allowed(limiter, 'a', 2)).toBe(1);
    clock.advance(125);
    expect(allowed(limiter, 'a', 9)).toBe(2);
  });

  it('lets 20 a second through in the long run, however often it is asked', () => {
    const clock = new VirtualClock();
    const limiter = new RateLimiter(clock);
    let count = 0;
    for (let ms = 0; ms < 10_000; ms++) {
      count += allowed(limiter, 'a', 3);
      clock.advance(1);
    }
    expect(count).toBeGreaterThanOrEqual(203);
    expect(count).toBeLessThanOrEqual(205);
  });

  it('counts each source for itself', () => {
    const limiter = new RateLimiter(new VirtualClock());
    expect(allowed(limiter, 'a', 10)).toBe(5);
    expect(allowed(limiter, 'b', 10)).toBe(5);
  });

  it('gives nobody a new burst by forgetting: one who keeps asking stays known', () => {
    const clock = new VirtualClock();
    const limiter = new RateLimiter(clock);
    let count = 0;
    for (let ms = 0; ms < 2000; ms += 10) {
      count += allowed(limiter, 'a', 2);
      clock.advance(10);
    }
    expect(count).toBeLessThanOrEqual(45);
  });

  it('is full again for one who was silent, however long', () => {
    const clock = new VirtualClock();
    const limiter = new RateLimiter(clock);
    for (const silence of [250, 400, 500, 750, 60_000]) {
      expect(allowed(limiter, 'a', 10)).toBe(5);
      clock.advance(silence);
    }
  });

  it('remembers a bounded number of sources in a flood of 100,000, forgets them, lets new ones in', () => {
    const clock = new VirtualClock();
    const limiter = new RateLimiter(clock, { sources: 1000 });
    let most = 0;
    let passed = 0;
    for (let i = 0; i < 100_000; i++) {
      if (limiter.allows(`source ${i}`)) passed += 1;
      most = Math.max(most, limiter.size);
      if (i % 50 === 0) clock.advance(1);
    }
    expect(most).toBeLessThanOrEqual(2000);
    // 2 s in generations of 250 ms, 1,000 sources each: past that they are refused.
    expect(passed).toBeLessThanOrEqual(9000);
    clock.advance(500);
    expect(limiter.allows('somebody')).toBe(true);
    expect(limiter.size).toBe(1);
  });

  it('still knows a source it met before the flood', () => {
    const clock = new VirtualClock();
    const limiter = new RateLimiter(clock, { sources: 10 });
    expect(allowed(limiter, 'known', 3)).toBe(3);
    for (let i = 0; i < 100; i++) limiter.allows(`source ${i}`);
    expect(limiter.allows('stranger')).toBe(false);
    expect(allowed(limiter, 'known', 10)).toBe(2);
  });
});

describe('the source counted', () => {
  it('is one IPv4 address, also when it comes through a dual-stack socket', () => {
    expect(udp('192.0.2.1')).not.toBe(udp('192.0.2.2'));
    expect(udp('::ffff:192.0.2.1')).toBe(udp('192.0.2.1'));
    expect(sourceKey({ carrier: 'udp', address: '192.0.2.1', port: 2 })).toBe(udp('192.0.2.1'));
  });

  it.each([
    ['2001:db8:1:2::1', '2001:db8:1:2:ffff:ffff:ffff:ffff'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::'],
    ['2001:db8::1', '2001:db8:0:0:1::1'],
    ['::1', '::2'],
    ['fe80::1%eth0', 'fe80::2%eth1'],
    ['1::', '1::8'],
    ['::', '::1'],
  ])('is the /64 of an IPv6 address: %s and %s are one', (one, other) => {
    expect(udp(one)).toBe(udp(other));
  });

  it.each([
    ['2001:db8:1:2::1', '2001:db8:1:3::1'],
    ['2001:db8::1', '2001:db8:0:1::1'],
    ['1::', '::1'],
    ['1:2:3:4::', '1:2:3::4'],
  ])('keeps two /64 apart: %s and %s', (one, other) => {
    expect(udp(one)).not.toBe(udp(other));
  });

  it('is the connection for a WebSocket, never taken for an address', () => {
    const ws = (address: string): string => sourceKey({ carrier: 'ws', address, port: 0 });
    expect(ws('00112233445566778899aabbccddeeff')).not.toBe(ws('00112233445566778899aabbccddee00'));
    expect(ws('192.0.2.1')).not.toBe(udp('192.0.2.1'));
  });
});
