import { describe, expect, it } from 'vitest';
import { Script } from './spec-support/script.js';

/** Sequence ranges only. */
function ranges(lines: readonly string[]): string[] {
  return lines.map((line) => line.split(' ')[1]!.replace(/\(.*/, ''));
}

/** Established with a round trip of 100 ms, so that times are easy to read. */
function at100ms(
  o: Parameters<Script['established']>[0] = { sackPermitted: true },
  script: Script = new Script(),
): Script {
  script.connect();
  script.wait(100);
  const { ts, ...rest } = o;
  script.in('S.', { seq: 0, ack: 1, mss: 1_000, ...rest, ...(ts ? { ts: [7_000, 0] as const } : {}) });
  script.out();
  return script;
}

describe('what goes out', () => {
  it('starts with ten segments (RFC 6928) and doubles by what is acknowledged', () => {
    const script = at100ms();
    script.write(60_000);
    expect(script.out()).toHaveLength(10);
    script.wait(100);
    script.in('.', { ack: 5_001 });
    script.in('.', { ack: 10_001 });
    script.wait(50);
    expect(script.out()).toHaveLength(20);
  });

  it('sends small writes at once, one turn in one segment: no Nagle', () => {
    const script = at100ms();
    script.connection.write(Buffer.from('a'));
    script.connection.write(Buffer.from('b'));
    script.end.endOfTurn();
    script.write('c');
    expect(script.out()).toEqual(['P. 1:3(2) ack 1 win 65535', 'P. 3:4(1) ack 1 win 65535']);
  });

  it('stays in the peer’s window', () => {
    const script = at100ms({ win: 2_500 });
    script.write(5_000);
    // The last 500 would be a silly window: less than a segment and less than half of the largest window.
    expect(ranges(script.out())).toEqual(['1:1001', '1001:2001']);
    script.in('.', { ack: 2_001, win: 2_500 });
    expect(ranges(script.out())).toEqual(['2001:3001', '3001:4001']);
  });

  it('spreads more than a burst over the round trip', () => {
    const script = at100ms({ sackPermitted: true }, new Script({ limits: { burstSegments: 4 } }));
    script.write(60_000);
    expect(script.out()).toHaveLength(4);
    // 10 segments per 100 ms, twice as fast in slow start: five in 25 ms, in bursts of no more than four.
    script.wait(25);
    const later = script.out().length;
    expect(later).toBeGreaterThanOrEqual(4);
    expect(later).toBeLessThanOrEqual(6);
    script.wait(60);
    expect(script.out().length + later).toBe(6);
  });

  it('says when there is enough to send, and when there is room again', () => {
    const script = at100ms({}, new Script({ limits: { minSendBuffer: 30_000 } }));
    expect(script.write(20_000)).toBe(true);
    expect(script.write(15_000)).toBe(false);
    script.in('.', { ack: 9_001 });
    expect(script.events).not.toContain('writable');
    script.wait(100);
    script.in('.', { ack: 19_001 });
    expect(script.events.filter((event) => event === 'writable')).toHaveLength(1);
  });
});

describe('retransmission timeout (RFC 6298)', () => {
  it('is the round trip and 200 ms at first, doubles, and starts anew with an ACK', () => {
    const script = at100ms({});
    script.write(500);
    script.out();
    expect(script.waitForOutput(1_000)).toBe(300);
    script.out();
    expect(script.waitForOutput(1_000)).toBe(600);
    script.out();
    expect(script.waitForOutput(2_000)).toBe(1_200);
    expect(ranges(script.out())).toEqual(['1:501']);
    script.in('.', { ack: 501 });
    script.write(500);
    script.out();
    // Karn: the ACK of a retransmission measures nothing; the backoff stays until something does.
    expect(script.waitForOutput(10_000)).toBe(2_400);
  });

  it('measures a retransmission by its timestamp', () => {
    const script = at100ms({ ts: true });
    script.write(500);
    script.wait(300);
    script.out();
    script.wait(100);
    script.in('.', { ack: 501, ts: [7_400, 400] });
    script.write(500);
    script.out();
    expect(script.waitForOutput(10_000)).toBeLessThan(310);
  });

  it('learns nothing from an echo of the original: its ACK may have been lost', () => {
    const script = at100ms({ ts: true });
    script.write(500);
    script.wait(300 + 600);
    script.out();
    script.wait(10);
    script.in('.', { ack: 501, ts: [7_910, 100] });
    script.write(500);
    script.out();
    // The backoff of two timeouts stays, the round trip of 100 ms too.
    expect(script.waitForOutput(10_000)).toBe(1_200);
  });

  it('is never under 200 ms', () => {
    const script = new Script().established();
    for (let sent = 1; sent <= 20; sent += 1) {
      script.write(1);
      script.in('.', { ack: 1 + sent });
    }
    script.out();
    script.write(1);
    script.out();
    expect(script.waitForOutput(1_000)).toBe(200);
  });

  it('falls back to one segment and goes through slow start', () => {
    const script = at100ms({});
    script.write(10_000);
    script.out();
    script.wait(300);
    expect(ranges(script.out())).toEqual(['1:1001']);
    script.in('.', { ack: 1_001 });
    script.wait(40);
    expect(ranges(script.out())).toEqual(['1001:2001', '2001:3001']);
  });

  it('takes it back when the ACK answers the original (RFC 3522)', () => {
    const script = at100ms({ ts: true, sackPermitted: true });
    const before = script.connection.figures.congestionWindow;
    script.write(9_000);
    script.wait(510);
    expect(ranges(script.out()).at(-1)).toBe('1:989');
    expect(script.connection.figures.congestionWindow).toBeLessThan(before);
    // Everything was only late: the echo is that of the first transmission.
    script.in('.', { ack: 9_001, ts: [7_510, 100] });
    expect(script.connection.figures.congestionWindow).toBeGreaterThanOrEqual(before);
  });

  it('sends many small segments again as few full ones', () => {
    const script = at100ms({});
    for (let index = 0; index < 50; index += 1) script.write(30);
    script.close();
    expect(script.out()).toHaveLength(51);
    script.wait(300);
    expect(script.out()).toEqual(['. 1:991(990) ack 1 win 65535']);
    script.in('.', { ack: 991 });
    expect(script.out()).toEqual(['FP. 991:1501(510) ack 1 win 65535']);
    script.in('.', { ack: 1_502 });
    expect(script.state).toBe('fin_wait_2');
  });

  it('tries smaller segments where full ones vanish (RFC 4821)', () => {
    const script = at100ms({ mss: 1_400 }, new Script({ mss: 1_400 }));
    script.write(1_400);
    expect(ranges(script.out())).toEqual(['1:1401']);
    script.wait(300 + 600);
    expect(ranges(script.out())).toEqual(['1:1401', '1:1401']);
    script.wait(1_200);
    expect(ranges(script.out())).toEqual(['1:1025', '1025:1401']);
    script.in('.', { ack: 1_401 });
    script.write(1_400);
    expect(ranges(script.out())[0]).toBe('1401:2425');
  });

  it('cuts what is too long when the path says so, if the message quotes what is in flight', () => {
    const script = at100ms();
    script.write(2_000);
    script.out();
    script.connection.pathMss(600, 1_000 + 70_000);
    script.end.endOfTurn();
    expect(script.out()).toEqual([]);
    script.connection.pathMss(600, 1_001);
    script.end.endOfTurn();
    expect(ranges(script.out())).toEqual(['1:601', '601:1001']);
    script.connection.pathMss(40, 1_001);
    expect(script.connection.figures.segmentSize).toBe(216);
  });
});

describe('loss without SACK (RFC 5681, 6582)', () => {
  it('sends the first again at the third duplicate ACK, the next at a partial ACK', () => {
    const script = at100ms({});
    script.write(20_000);
    script.out();
    script.wait(100);
    script.in('.', { ack: 1 });
    script.in('.', { ack: 1 });
    // Limited transmit (RFC 3042): what has left the network makes room for new data.
    expect(ranges(script.out())).toEqual(['10001:11001', '11001:12001']);
    script.in('.', { ack: 1 });
    expect(ranges(script.out())).toEqual(['1:1001']);
    script.in('.', { ack: 3_001 });
    expect(ranges(script.out())).toContain('3001:4001');
  });

  it('does not count ACKs that open the window', () => {
    const script = at100ms({ win: 20_000 });
    script.write(10_000);
    script.out();
    for (const win of [20_001, 20_002, 20_003, 20_004]) script.in('.', { ack: 1, win });
    expect(script.out()).toEqual([]);
  });
});

describe('loss with SACK (RFC 6675, 8985)', () => {
  it('sends only what is missing, when three segments behind it have arrived', () => {
    const script = at100ms();
    script.write(10_000);
    script.out();
    script.wait(100);
    script.in('.', { ack: 1_001 });
    script.out();
    script.in('.', { ack: 1_001, sack: [[2_001, 3_001]] });
    script.in('.', { ack: 1_001, sack: [[2_001, 4_001]] });
    expect(script.out()).toEqual([]);
    script.in('.', {
      ack: 1_001,
      sack: [
        [2_001, 4_001],
        [5_001, 6_001],
      ],
    });
    expect(ranges(script.out())).toEqual(['1001:2001']);
    // 4001:5001 was sent before 5001:6001, which has arrived: lost too; the window allows it with the next ACK.
    script.in('.', {
      ack: 1_001,
      sack: [
        [2_001, 4_001],
        [5_001, 8_001],
      ],
    });
    expect(ranges(script.out())).toEqual(['4001:5001']);
  });

  it('waits a quarter of the round trip for one that may be only late', () => {
    const script = at100ms();
    script.write(10_000);
    script.out();
    script.wait(100);
    script.in('.', { ack: 1, sack: [[1_001, 2_001]] });
    expect(script.out()).toEqual([]);
    expect(script.waitForOutput(100)).toBeCloseTo(25);
    expect(ranges(script.out())).toEqual(['1:1001']);
  });

  it('finds a lost retransmission', () => {
    const script = at100ms();
    script.write(10_000);
    script.out();
    script.wait(100);
    script.in('.', { ack: 1, sack: [[1_001, 5_001]] });
    expect(ranges(script.out())).toEqual(['1:1001']);
    script.write(1_000);
    script.in('.', { ack: 1, sack: [[1_001, 10_001]] });
    expect(ranges(script.out())).toContain('10001:11001');
    // What went out after the retransmission is there, the retransmission is not.
    script.wait(100);
    script.in('.', { ack: 1, sack: [[1_001, 11_001]] });
    expect(script.waitForOutput(50)).toBeLessThan(30);
    expect(ranges(script.out())).toEqual(['1:1001']);
  });

  it('reduces the window once, to seven tenths (RFC 9438)', () => {
    const script = at100ms();
    script.write(20_000);
    script.out();
    script.wait(100);
    const before = script.connection.figures.congestionWindow;
    script.in('.', { ack: 1, sack: [[1_001, 5_001]] });
    script.in('.', {
      ack: 1,
      sack: [
        [1_001, 5_001],
        [6_001, 9_001],
      ],
    });
    script.wait(100);
    script.in('.', { ack: 30_001 });
    script.in('.', { ack: 20_001 });
    expect(script.connection.figures.congestionWindow).toBeGreaterThanOrEqual(before * 0.7 - 1);
    expect(script.connection.figures.congestionWindow).toBeLessThan(before * 0.7 + 2_000);
  });

  it('learns from a DSACK that its patience was too short (RFC 8985 §6.2)', () => {
    const patience = (dsack: boolean): number => {
      const script = at100ms({ sackPermitted: true, ts: true });
      script.write(5_000);
      script.wait(100);
      script.in('.', { ack: 1, sack: [[989, 5_001]], ts: [7_100, 100] });
      script.wait(10);
      script.in('.', { ack: 5_001, ts: [7_110, 200], ...(dsack ? { sack: [[1, 989]] } : {}) });
      script.write(5_000);
      script.wait(100);
      script.out();
      script.in('.', { ack: 5_001, sack: [[5_989, 6_977]], ts: [7_210, 210] });
      return script.waitForOutput(300);
    };
    expect(patience(true)).toBeGreaterThan(patience(false) * 1.9);
  });

  it('ignores blocks that make no sense', () => {
    const script = at100ms();
    script.write(5_000);
    script.out();
    script.in('.', {
      ack: 1,
      sack: [
        [900_000, 901_000],
        [3_001, 2_001],
        [-5_000, 9_000_000],
        [0, 1],
      ],
    });
    script.wait(90);
    expect(script.out()).toEqual([]);
    script.in('.', { ack: 5_001 });
    expect(script.end.memoryBytes).toBe(0);
  });

  it('sends again what a peer had and threw away (reneging, RFC 2018 §8)', () => {
    const script = at100ms();
    script.write(5_000);
    script.out();
    script.wait(100);
    script.in('.', { ack: 1, sack: [[1_001, 5_001]] });
    expect(ranges(script.out())).toEqual(['1:1001']);
    script.wait(100);
    // It kept the first only: the ACK stops before what it had SACKed.
    script.in('.', { ack: 1_001 });
    expect(script.waitForOutput(1_000)).toBeLessThanOrEqual(60);
    expect(ranges(script.out())[0]).toBe('1001:2001');
    let acked = 2_001;
    while (acked <= 5_001) {
      script.in('.', { ack: acked });
      script.wait(100);
      acked += 1_000;
    }
    expect(script.end.memoryBytes).toBe(0);
  });

  it('probes the tail after two round trips, and pays when the probe was needed (RFC 8985 §7)', () => {
    const script = at100ms();
    script.write(3_000);
    script.out();
    expect(script.waitForOutput(1_000)).toBeCloseTo(200);
    expect(ranges(script.out())).toEqual(['2001:3001']);
    // The probe's SACK shows the rest is lost: no timeout needed.
    script.wait(100);
    script.in('.', { ack: 1, sack: [[2_001, 3_001]] });
    expect(script.waitForOutput(50)).toBeLessThan(30);
    expect(ranges(script.out())[0]).toBe('1:1001');
  });

  it('probes with new data when there is some', () => {
    const script = at100ms({ sackPermitted: true, win: 3_000 });
    script.write(5_000);
    script.out();
    script.in('.', { ack: 1, win: 5_000 });
    const more = ranges(script.out());
    expect(more).toEqual(['3001:4001', '4001:5001']);
  });
});

describe('a shut window (RFC 9293 §3.8.6)', () => {
  it('is probed, for as long as the peer answers, and opened by its ACK', () => {
    const script = at100ms({ win: 1_000 });
    script.write(3_000);
    script.wait(100);
    script.in('.', { ack: 1_001, win: 0 });
    script.out();
    expect(script.waitForOutput(1_000)).toBe(300);
    expect(script.out()).toEqual(['. 1000:1000(0) ack 1 win 65535']);
    let waited = 0;
    for (let probes = 0; probes < 60; probes += 1) {
      script.in('.', { ack: 1_001, win: 0 });
      waited = script.waitForOutput(100_000);
      expect(script.out()).toHaveLength(1);
    }
    expect(waited).toBe(60_000);
    expect(script.state).toBe('established');
    script.in('.', { ack: 1_001, win: 1_000 });
    expect(ranges(script.out())).toEqual(['1001:2001']);
  });

  it('ends the connection when nobody answers the probes', () => {
    const script = at100ms({ win: 1_000 });
    script.write(3_000);
    script.in('.', { ack: 1_001, win: 0 });
    script.wait(125_000);
    expect(script.events).toContain('closed tcp_timed_out');
  });

  it('that opens a little is used after a while (silly windows, RFC 1122 §4.2.3.4)', () => {
    const script = at100ms({ win: 4_000 });
    script.write(8_000);
    script.wait(100);
    script.in('.', { ack: 4_001, win: 300 });
    script.out();
    expect(script.waitForOutput(1_000)).toBe(300);
    expect(ranges(script.out())).toEqual(['4001:4301']);
  });

  it('that shrinks stops what was lost from going out beyond it, and goes on when it opens', () => {
    const script = at100ms({ sackPermitted: true, win: 10_000 });
    script.write(5_000);
    script.out();
    script.in('.', { ack: 1_001, win: 0 });
    script.wait(5_000);
    // Only the first of them, as a probe of its own.
    expect(new Set(ranges(script.out()))).toEqual(new Set(['1001:2001', '4001:5001']));
    script.in('.', { ack: 1_001, win: 10_000 });
    expect(ranges(script.out())[0]).toBe('1001:2001');
  });

  it('takes no window from an older segment (SND.WL1)', () => {
    const script = at100ms({ win: 5_000 });
    script.in('P.', { seq: 1, data: 'abc', win: 5_000 });
    script.in('P.', { seq: 4, data: 'def', win: 2_000 });
    script.out();
    // Older than the last, though it brings a new byte.
    script.in('P.', { seq: 1, data: 'abcdefg', win: 9_000 });
    expect(script.text).toBe('abcdefg');
    script.out();
    script.write(9_000);
    expect(ranges(script.out()).at(-1)).toBe('1001:2001');
  });
});

describe('an idle connection', () => {
  it('starts again with ten segments (RFC 5681 §4.1)', () => {
    const script = at100ms();
    script.write(60_000);
    for (let acked = 1_001; acked <= 60_001; acked += 1_000) {
      script.wait(5);
      script.in('.', { ack: acked });
    }
    expect(script.connection.figures.congestionWindow).toBeGreaterThan(20_000);
    script.wait(10_000);
    script.out();
    script.write(60_000);
    expect(script.out()).toHaveLength(10);
  });

  it('does not grow its window by what it does not use', () => {
    const script = at100ms();
    for (let sent = 1; sent <= 200; sent += 1) {
      script.write(100);
      script.wait(10);
      script.in('.', { ack: 1 + sent * 100 });
    }
    expect(script.connection.figures.congestionWindow).toBe(10_000);
  });
});
