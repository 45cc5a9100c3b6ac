import { describe, expect, it } from 'vitest';
import { Cubic } from './cubic.js';
import { Pacer } from './pacing.js';
import { RateReduction } from './recovery.js';
import { SlowStartExit } from './slow-start-exit.js';

const MSS = 1_000;

/** Acknowledges whole windows, one per round trip, for so long; returns the window in segments after each. */
function rounds(cubic: Cubic, from: number, seconds: number, roundTripMs: number): number[] {
  const windows: number[] = [];
  for (let at = from; at < from + seconds * 1_000; at += roundTripMs) {
    const whole = cubic.window;
    for (let acked = 0; acked < whole; acked += 2 * MSS) cubic.onAck(2 * MSS, at, roundTripMs, true);
    windows.push(cubic.window / MSS);
  }
  return windows;
}

describe('CUBIC (RFC 9438)', () => {
  it('cuts to seven tenths and is back at the old window after the cube root of the difference', () => {
    const cubic = new Cubic(MSS);
    cubic.window = 1_000 * MSS;
    cubic.onLoss();
    cubic.window = cubic.threshold;
    expect(cubic.threshold).toBe(700 * MSS);
    // K = cbrt(300 / 0.4) = 9.09 s.
    const windows = rounds(cubic, 0, 20, 100);
    const back = windows.findIndex((window) => window >= 999);
    expect(back / 10).toBeGreaterThan(6);
    expect(back / 10).toBeLessThan(9.5);
    // Fast at first, flat around the old window, fast again.
    const growth = (second: number): number => windows[second * 10 + 9]! - windows[second * 10]!;
    expect(growth(0)).toBeGreaterThan(5 * growth(8));
    expect(growth(18)).toBeGreaterThan(5 * growth(8));
  });

  it('is as fast as Reno where the window is small', () => {
    const cubic = new Cubic(MSS);
    cubic.window = 20 * MSS;
    cubic.onLoss();
    cubic.window = cubic.threshold;
    // 14 segments, then 0.53 each round trip.
    const windows = rounds(cubic, 0, 0.4, 20);
    expect(windows.at(-1)).toBeGreaterThan(14 + 20 * 0.5);
    expect(windows.at(-1)).toBeLessThan(14 + 20 * 1.1);
  });

  it('makes room for others when it loses before it is back (fast convergence)', () => {
    const cubic = new Cubic(MSS);
    cubic.window = 100 * MSS;
    cubic.onLoss();
    cubic.window = 80 * MSS;
    cubic.onLoss();
    expect(cubic.remember().maximum).toBeCloseTo((80 * 1.7) / 2);
  });

  it('does not grow while the window is not used, nor leap afterwards', () => {
    const cubic = new Cubic(MSS);
    cubic.window = 100 * MSS;
    cubic.onLoss();
    cubic.window = cubic.threshold;
    rounds(cubic, 0, 1, 20);
    const before = cubic.window;
    for (let at = 1_000; at < 60_000; at += 20) cubic.onAck(MSS, at, 20, false);
    expect(cubic.window).toBe(before);
    expect(rounds(cubic, 60_000, 0.1, 20).at(-1)).toBeLessThan((before / MSS) * 1.2);
  });

  it.each([
    [536, 10 * 536],
    [1_228, 12_280],
    [1_460, 14_600],
    [2_000, 14_600],
    [9_000, 18_000],
  ])('starts a MSS of %i with %i bytes (RFC 6928)', (mss, bytes) => {
    expect(new Cubic(mss).window).toBe(bytes);
  });
});

describe('HyStart++ (RFC 9406)', () => {
  function run(exit: SlowStartExit, roundTrips: readonly number[]): number | undefined {
    let sent = 0;
    for (const [round, ms] of roundTrips.entries()) {
      const acknowledged = sent;
      sent += 20;
      for (let index = 0; index < 20; index += 1) {
        if (exit.onRoundTrip(ms, acknowledged + index, sent)) return round;
      }
    }
    return undefined;
  }

  it('slows down when round trips grow, and leaves slow start five rounds later', () => {
    const exit = new SlowStartExit();
    expect(run(exit, [40, 40, 40, 46, 46])).toBeUndefined();
    expect(exit.divisor).toBe(4);
    const other = new SlowStartExit();
    expect(run(other, [40, 40, 40, 46, 46, 46, 46, 46, 46, 46, 46])).toBe(8);
  });

  it('takes it back when they shrink again, and does not mind a little', () => {
    const exit = new SlowStartExit();
    expect(run(exit, [40, 46, 40, 40, 44, 43, 42, 41, 44, 44, 44])).toBeUndefined();
    expect(exit.divisor).toBe(1);
  });
});

describe('pacing', () => {
  it('lets a burst pass, then twice the window per round trip in slow start', () => {
    const pacer = new Pacer(10 * MSS);
    let sent = 0;
    for (let at = 0; at <= 100; at += 0.5) {
      pacer.refill(at, 100 * MSS, 100, true);
      while (pacer.open) {
        pacer.spend(MSS);
        sent += 1;
      }
      expect(pacer.readyAt()).toBeGreaterThan(at);
    }
    expect(sent).toBeGreaterThanOrEqual(209);
    expect(sent).toBeLessThanOrEqual(212);
  });

  it('does not save up more than a burst, and does not pace what has no round trip yet', () => {
    const pacer = new Pacer(4 * MSS);
    pacer.refill(0, 100 * MSS, undefined, true);
    pacer.spend(40 * MSS);
    pacer.refill(0, 100 * MSS, undefined, true);
    expect(pacer.open).toBe(true);
    pacer.refill(1_000_000, 100 * MSS, 10, false);
    for (let index = 0; index < 4; index += 1) pacer.spend(MSS);
    expect(pacer.open).toBe(false);
  });
});

describe('proportional rate reduction (RFC 6937)', () => {
  it('sends seven for every ten delivered, and arrives at the threshold', () => {
    const reduction = new RateReduction();
    reduction.start(100 * MSS, 70 * MSS);
    let pipe = 99 * MSS;
    let sent = 0;
    for (let delivered = 0; delivered < 99; delivered += 1) {
      pipe -= MSS;
      const window = reduction.windowAfter(MSS, pipe, true, MSS);
      while (pipe + MSS <= window) {
        pipe += MSS;
        sent += 1;
        reduction.onSent(MSS);
      }
    }
    expect(sent).toBeGreaterThanOrEqual(68);
    expect(sent).toBeLessThanOrEqual(72);
    expect(Math.abs(pipe - 70 * MSS)).toBeLessThanOrEqual(2 * MSS);
  });

  it('goes slowly where more was lost than the reduction asks for', () => {
    const reduction = new RateReduction();
    reduction.start(100 * MSS, 70 * MSS);
    expect(reduction.windowAfter(MSS, 20 * MSS, false, MSS)).toBe(21 * MSS);
    reduction.onSent(MSS);
    expect(reduction.windowAfter(MSS, 20 * MSS, true, MSS)).toBe(22 * MSS);
  });
});
