import { describe, expect, it } from 'vitest';
import { RacedTunnel } from './spec-support/raced-tunnel.js';

const minute = 60_000;

describe('at the start', () => {
  it.each([1, 20, 100, 250])('UDP that answers within %i ms is chosen, and nothing is dialled', (rttMs) => {
    const tunnel = new RacedTunnel({ rttMs });
    const talk = tunnel.conversation(10);
    tunnel.clock.advance(2_000);
    expect(talk.answers()).toBeGreaterThan(2);
    expect(tunnel.events).toEqual([{ kind: 'carrier_chosen', carrier: 'udp', afterMs: expect.closeTo(rttMs, 0) }]);
    expect(tunnel.dials).toBe(0);
    expect(tunnel.race.memory).toEqual({ carrier: 'udp', until: expect.any(Number) });
  });

  it.each([400, 1_000, 2_000])('UDP wins over %i ms too: a WebSocket takes three round trips', (rttMs) => {
    const tunnel = new RacedTunnel({ rttMs });
    const talk = tunnel.conversation(10);
    tunnel.clock.advance(10 * rttMs);
    expect(talk.answers()).toBeGreaterThan(2);
    expect(tunnel.race.carrier).toBe('udp');
    expect(tunnel.dials).toBe(1);
    expect(tunnel.sent.ws).toBe(0);
    expect(tunnel.switches()).toEqual([]);
  });

  it.each([1, 20, 50, 100, 150])('UDP that is swallowed costs no more than 1.5 s, %i ms away', (rttMs) => {
    const tunnel = new RacedTunnel({ rttMs });
    tunnel.swallowUdp();
    const talk = tunnel.conversation(1_000);
    const ms = tunnel.clock.runUntil(() => talk.answers() > 0, 10_000);
    expect(ms).toBeLessThanOrEqual(1_500);
    expect(tunnel.events).toEqual([{ kind: 'carrier_chosen', carrier: 'ws', afterMs: expect.any(Number) }]);
  });

  it('what worked last time goes first, for an hour', () => {
    const wall = new RacedTunnel().clock.now();
    const first = (memory: { carrier: 'ws'; until: number }): number => {
      const tunnel = new RacedTunnel({ rttMs: 50, memory });
      tunnel.swallowUdp();
      const talk = tunnel.conversation(1_000);
      return tunnel.clock.runUntil(() => talk.answers() > 0, 10_000);
    };
    expect(first({ carrier: 'ws', until: wall + 1 })).toBe(first({ carrier: 'ws', until: wall }) - 300);
    const tunnel = new RacedTunnel();
    tunnel.conversation(1_000);
    tunnel.clock.advance(1_000);
    // Since it last proved itself.
    const ago = 60 * minute - ((tunnel.race.memory?.until ?? 0) - tunnel.clock.now());
    expect(ago).toBeGreaterThanOrEqual(0);
    expect(ago).toBeLessThan(1_000);
  });

  it('UDP that works again is chosen though the WebSocket was remembered', () => {
    const tunnel = new RacedTunnel({ rttMs: 50, memory: { carrier: 'ws', until: Number.MAX_SAFE_INTEGER } });
    tunnel.conversation(100);
    tunnel.clock.advance(1_000);
    expect(tunnel.race.carrier).toBe('udp');
    expect(tunnel.race.memory?.carrier).toBe('udp');
    expect(tunnel.sent.ws).toBe(0);
  });

  it('neither answering is told once, and the first that answers is chosen', () => {
    const tunnel = new RacedTunnel({ wsBlocked: true });
    tunnel.swallowUdp();
    const talk = tunnel.conversation(1_000);
    tunnel.clock.advance(20_000);
    expect(tunnel.events).toEqual([{ kind: 'carriers_silent', sinceMs: expect.any(Number) }]);
    tunnel.wsBlocked = false;
    tunnel.clock.runUntil(() => tunnel.race.carrier === 'ws' && talk.answers() > 0, 15_000);
    expect(tunnel.events.map(({ kind }) => kind)).toEqual(['carriers_silent', 'carrier_chosen']);
  });

  it('asks for a new handshake when the answer to the first is lost', () => {
    const tunnel = new RacedTunnel();
    tunnel.swallowUdp(1, 'down');
    const talk = tunnel.conversation(1_000);
    // The device tries again within 5.4 s by itself.
    expect(tunnel.clock.runUntil(() => talk.answers() > 0, 20_000)).toBeLessThan(7_000);
    expect(tunnel.restarts).toBeGreaterThan(0);
    expect(tunnel.race.carrier).toBe('ws');
  });
});

describe('in a session', () => {
  describe.each([1, 30, 100])('%i ms away, UDP that is swallowed costs no more than 1.5 s', (rttMs) => {
    it.each(['up', 'down'] as const)('with a stream %s', (way) => {
      const tunnel = new RacedTunnel({ rttMs });
      const stream = tunnel.stream({ bytesPerTick: 4_000, tickMs: 20, way });
      tunnel.clock.advance(5_000);
      expect(stream.gap()).toBeLessThan(1_000);
      tunnel.swallowUdp();
      tunnel.clock.advance(5_000);
      expect(tunnel.switches()).toEqual(['udp>ws silent']);
      expect(stream.gap()).toBeLessThanOrEqual(1_500);
      const before = stream.read();
      tunnel.clock.advance(2_000);
      expect(stream.read() - before).toBeGreaterThan(200_000);
    });

    it('with a question in the air', () => {
      const tunnel = new RacedTunnel({ rttMs });
      const talk = tunnel.conversation(200);
      tunnel.clock.advance(5_000);
      talk.slowest();
      tunnel.swallowUdp();
      tunnel.clock.advance(5_000);
      expect(talk.slowest()).toBeLessThanOrEqual(1_500);
      expect(tunnel.switches()).toEqual(['udp>ws silent']);
    });

    it('with a question after a minute of silence', () => {
      const tunnel = new RacedTunnel({ rttMs });
      const talk = tunnel.conversation(minute);
      tunnel.clock.advance(5_000);
      tunnel.swallowUdp();
      tunnel.clock.advance(minute + 5_000);
      expect(talk.answers()).toBe(2);
      expect(talk.slowest()).toBeLessThanOrEqual(1_500);
    });
  });

  it.each(['up', 'down'] as const)('a path that only swallows what goes %s is left too', (way) => {
    const tunnel = new RacedTunnel();
    const stream = tunnel.stream({ bytesPerTick: 4_000, tickMs: 20, way: 'down' });
    tunnel.clock.advance(5_000);
    stream.gap();
    tunnel.swallowUdp(1, way);
    tunnel.clock.advance(10_000);
    expect(tunnel.race.carrier).toBe('ws');
    expect(stream.gap()).toBeLessThanOrEqual(2_000);
  });

  it('hearing the peer is no proof that it hears us', () => {
    const tunnel = new RacedTunnel();
    const talk = tunnel.conversation(500);
    tunnel.clock.advance(1_000);
    tunnel.monologue(50, 'colony');
    tunnel.clock.advance(10_000);
    talk.slowest();
    expect(tunnel.switches()).toEqual([]);
    tunnel.swallowUdp(1, 'up');
    tunnel.clock.advance(10_000);
    expect(tunnel.race.carrier).toBe('ws');
    expect(talk.slowest()).toBeLessThan(8_000);
  });

  it('stays with UDP over a quiet tunnel', () => {
    const tunnel = new RacedTunnel();
    const talk = tunnel.conversation(10 * minute);
    tunnel.clock.advance(60 * minute);
    expect(talk.answers()).toBe(6);
    expect(tunnel.switches()).toEqual([]);
    expect(tunnel.dials).toBe(0);
    // The last ACK of each exchange is a word without an answer: one question each.
    expect(tunnel.probes).toBeLessThanOrEqual(2 * 6);
  });

  it('stays with UDP while traffic goes one way only', () => {
    const tunnel = new RacedTunnel();
    tunnel.monologue(1_000);
    tunnel.clock.advance(5 * minute);
    expect(tunnel.switches()).toEqual([]);
    expect(tunnel.dials).toBe(0);
    expect(tunnel.probes).toBeLessThanOrEqual(310);
  });

  it.each([
    ['1 s of round trip that varies by 0.4 s', { rttMs: 1_000, udp: { delayMs: 500, jitterMs: 200 } }, 0],
    ['60 ms that vary by 200 ms', { rttMs: 60, udp: { delayMs: 30, jitterMs: 100 } }, 0],
    ['1 % of loss each way', { rttMs: 50, udp: { loss: 0.01 } }, 2],
    ['5 % of loss each way', { rttMs: 50, udp: { loss: 0.05 } }, 12],
    ['reordering and duplicates', { rttMs: 50, udp: { reorder: 0.1, reorderByMs: 40, duplicate: 0.05 } }, 0],
  ])('over half an hour of %s there is no storm of switches', (_what, options, most) => {
    const tunnel = new RacedTunnel({ ...options, seed: 7 });
    const talk = tunnel.conversation(3_000);
    tunnel.clock.advance(30 * minute);
    expect(talk.answers()).toBeGreaterThan(200);
    expect(tunnel.switches().length).toBeLessThanOrEqual(most);
    // Most of the time it is UDP.
    expect(tunnel.sent.udp).toBeGreaterThan(5 * tunnel.sent.ws);
  });

  it('stays with UDP through a bulk transfer that fills the queues', () => {
    const tunnel = new RacedTunnel({ rttMs: 40, udp: { rate: 5_000_000, queueBytes: 500_000 } });
    const stream = tunnel.stream({ bytesPerTick: 30_000, tickMs: 20, way: 'down' });
    tunnel.clock.advance(10_000);
    expect(stream.read()).toBeGreaterThan(3_000_000);
    expect(tunnel.switches()).toEqual([]);
  });

  it('stays with UDP when this machine was suspended for half a minute', () => {
    const tunnel = new RacedTunnel();
    const talk = tunnel.conversation(100);
    tunnel.clock.advance(5_000);
    const before = tunnel.probes;
    tunnel.suspend(30_000);
    tunnel.clock.advance(5_000);
    expect(talk.answers()).toBeGreaterThan(60);
    expect(tunnel.switches()).toEqual([]);
    expect(tunnel.dials).toBe(0);
    expect(tunnel.probes - before).toBeLessThanOrEqual(3);
  });
});

describe('the way back to UDP', () => {
  it('is taken when it works again, and the WebSocket is kept warm for a while', () => {
    const tunnel = new RacedTunnel();
    const talk = tunnel.conversation(100);
    tunnel.clock.advance(2_000);
    tunnel.swallowUdp();
    tunnel.clock.advance(3_000);
    expect(tunnel.race.carrier).toBe('ws');
    expect(tunnel.race.memory?.carrier).toBe('ws');
    talk.slowest();
    tunnel.swallowUdp(0);
    tunnel.clock.advance(10_000);
    expect(tunnel.switches()).toEqual(['udp>ws silent', 'ws>udp recovered']);
    expect(tunnel.race.memory?.carrier).toBe('udp');
    expect(talk.slowest()).toBeLessThan(300);
    expect(tunnel.isOpen).toBe(true);
    tunnel.clock.advance(30_000);
    expect(tunnel.isOpen).toBe(false);
    expect(tunnel.dials).toBe(1);
  });

  it('costs the session nothing while UDP stays dead', () => {
    const tunnel = new RacedTunnel();
    tunnel.swallowUdp();
    const talk = tunnel.conversation(1_000);
    tunnel.clock.advance(10 * minute);
    expect(tunnel.race.carrier).toBe('ws');
    expect(talk.answers()).toBeGreaterThan(550);
    talk.slowest();
    tunnel.clock.advance(10 * minute);
    expect(talk.slowest()).toBeLessThan(100);
    // Once a minute, when all is said.
    const before = tunnel.sent.udp;
    tunnel.clock.advance(10 * minute);
    expect(tunnel.sent.udp - before).toBeLessThanOrEqual(11);
  });

  it('is not looked for while nothing is said', () => {
    const tunnel = new RacedTunnel();
    tunnel.swallowUdp();
    tunnel.monologue(minute);
    tunnel.clock.advance(2_000);
    const before = tunnel.sent.udp;
    tunnel.clock.advance(20 * minute);
    // A question for each word, and a few more at first.
    expect(tunnel.sent.udp - before).toBeLessThanOrEqual(30);
  });

  it.each([
    ['slower', 20, 60],
    ['as fast', 20, 20],
    ['faster', 60, 20],
  ])('does not open for a path %s than the WebSocket that works one way only', (_what, wsRttMs, rttMs) => {
    const tunnel = new RacedTunnel({ rttMs, wsRttMs });
    tunnel.swallowUdp(1, 'down');
    // The answer comes when the client has long said its last word, but for its questions about UDP.
    const talk = tunnel.conversation(100, 3_000);
    tunnel.clock.advance(15_000);
    talk.slowest();
    tunnel.clock.advance(5 * minute);
    expect(tunnel.race.carrier).toBe('ws');
    expect(tunnel.switches()).toEqual([]);
    expect(talk.slowest()).toBeLessThan(3_500);
  });

  it('is taken ever more rarely when the path comes and goes', () => {
    const tunnel = new RacedTunnel();
    tunnel.conversation(1_000);
    for (let i = 0; i < 60; i += 1) {
      tunnel.swallowUdp(0);
      tunnel.clock.advance(20_000);
      tunnel.swallowUdp();
      tunnel.clock.advance(10_000);
    }
    // Half an hour, sixty holes: it waits for 5, 10, 20, … and at last 300 s before it trusts UDP again.
    expect(tunnel.switches().length).toBeLessThanOrEqual(22);
  });
});

describe('when the WebSocket fails as well', () => {
  it('and says so, UDP is tried at once and the session goes on over the next connection', () => {
    const tunnel = new RacedTunnel();
    const talk = tunnel.conversation(100);
    tunnel.clock.advance(1_000);
    tunnel.swallowUdp();
    tunnel.clock.advance(3_000);
    talk.slowest();
    tunnel.breakWs();
    tunnel.clock.advance(3_000);
    expect(tunnel.race.carrier).toBe('ws');
    expect(talk.slowest()).toBeLessThanOrEqual(1_500);

    tunnel.swallowUdp(0);
    tunnel.wsBlocked = true;
    tunnel.breakWs();
    tunnel.clock.advance(3_000);
    expect(tunnel.switches().at(-1)).toBe('ws>udp lost');
    expect(talk.slowest()).toBeLessThanOrEqual(1_500);
  });

  it('and says nothing, UDP takes over, or a new connection', () => {
    const tunnel = new RacedTunnel();
    const talk = tunnel.conversation(100);
    tunnel.clock.advance(1_000);
    tunnel.swallowUdp();
    tunnel.clock.advance(3_000);
    talk.slowest();
    tunnel.swallowUdp(0);
    tunnel.swallowWs();
    tunnel.clock.advance(5_000);
    expect(tunnel.switches().at(-1)).toBe('ws>udp silent');
    expect(talk.slowest()).toBeLessThanOrEqual(1_500);

    const forgotten = new RacedTunnel();
    const words = forgotten.conversation(100);
    forgotten.swallowUdp();
    forgotten.clock.advance(5_000);
    forgotten.forgetWs();
    words.slowest();
    forgotten.clock.advance(20_000);
    expect(forgotten.dials).toBeGreaterThan(1);
    expect(words.slowest()).toBeLessThan(5_000);
  });

  it('is told once, and over when one works again, however long it took', () => {
    const tunnel = new RacedTunnel();
    const talk = tunnel.conversation(100);
    tunnel.clock.advance(2_000);
    tunnel.swallowUdp();
    tunnel.swallowWs();
    tunnel.clock.advance(minute);
    expect(tunnel.events.filter(({ kind }) => kind === 'carriers_silent')).toHaveLength(1);
    expect(tunnel.sent.udp + tunnel.sent.ws).toBeLessThan(1_000);
    const before = talk.answers();
    tunnel.swallowUdp(0);
    tunnel.clock.runUntil(() => talk.answers() > before, minute);
    expect(tunnel.race.carrier).toBe('udp');
  });

  it('rests when nobody wants anything, and starts anew', () => {
    const tunnel = new RacedTunnel({ wsBlocked: true });
    tunnel.swallowUdp();
    tunnel.say();
    tunnel.clock.advance(10 * minute);
    expect(tunnel.race.nextTimerAt()).toBe(Infinity);
    expect(tunnel.isWanted).toBe(false);
    tunnel.swallowUdp(0);
    tunnel.say();
    tunnel.clock.advance(1_000);
    expect(tunnel.events.at(-1)).toMatchObject({ kind: 'carrier_chosen', carrier: 'udp' });
  });
});

describe('what is asked for', () => {
  it('`udp` never dials', () => {
    const tunnel = new RacedTunnel({ transport: 'udp' });
    const talk = tunnel.conversation(100);
    tunnel.clock.advance(2_000);
    expect(talk.answers()).toBeGreaterThan(10);
    tunnel.swallowUdp();
    tunnel.clock.advance(minute);
    expect([tunnel.dials, tunnel.sent.ws, tunnel.probes]).toEqual([0, 0, 0]);
  });

  it('`websocket` never sends over UDP, and dials anew when the connection is dead', () => {
    const tunnel = new RacedTunnel({ transport: 'websocket' });
    const talk = tunnel.conversation(100);
    expect(tunnel.clock.runUntil(() => talk.answers() > 0, 1_000)).toBeLessThan(300);
    tunnel.breakWs();
    talk.slowest();
    tunnel.clock.advance(5_000);
    expect(talk.slowest()).toBeLessThanOrEqual(1_500);
    tunnel.forgetWs();
    tunnel.clock.advance(20_000);
    expect(talk.slowest()).toBeLessThan(6_000);
    expect(tunnel.sent.udp).toBe(0);
    expect(tunnel.race.memory).toBeUndefined();
    expect(tunnel.switches()).toEqual([]);
  });

  it('an end that others must reach asks in silence', () => {
    const tunnel = new RacedTunnel({ limits: { idleProbeMs: 25_000 }, keepaliveSeconds: 25 });
    tunnel.clock.advance(10_000);
    tunnel.swallowUdp();
    tunnel.clock.advance(minute);
    expect(tunnel.race.carrier).toBe('ws');
    // The colony's own question finds it there.
    let answer: number | undefined;
    tunnel.colony.stack.ping('10.137.64.1', { timeoutMs: 1_000, done: (ms) => (answer = ms) });
    tunnel.clock.advance(1_000);
    expect(answer).toBeCloseTo(20, 0);
  });

  it('nothing of strangers counts', () => {
    const tunnel = new RacedTunnel();
    tunnel.swallowUdp();
    const talk = tunnel.conversation(100);
    for (let i = 0; i < 20; i += 1) {
      tunnel.clock.advance(100);
      tunnel.strangerSays(Buffer.alloc(148, 4));
      tunnel.race.answered(i, 'udp');
    }
    expect(tunnel.race.carrier).toBe('ws');
    expect(talk.answers()).toBeGreaterThan(5);
  });
});
