import { beforeEach, describe, expect, it } from 'vitest';
import { ForwardingPolicy } from './forwarding.js';
import type { ForwardDrop, ForwardingRule } from './forwarding.types.js';
import { echo, flags, headerChecksum, tcp, udp } from './packets.fixture.js';

const [cli, agent, other] = [3, 7, 9];
const cliV4 = '10.137.128.0';
const cliV6 = 'fd42:c0a1::8000';
const agentV4 = '10.137.0.2';
const agentV6 = 'fd42:c0a1::2';
const otherV4 = '10.137.0.3';

function fakeClock() {
  let wall = Date.parse('2026-11-21T12:00:00Z');
  let monotonic = 1_000;
  return {
    now: () => wall,
    monotonic: () => monotonic,
    advance(ms: number) {
      wall += ms;
      monotonic += Math.max(0, ms);
    },
  };
}

describe('the forwarding policy of a hub', () => {
  let clock: ReturnType<typeof fakeClock>;
  let policy: ForwardingPolicy;
  const ssh: ForwardingRule = { destination: agentV4, protocol: 'tcp', port: 22 };

  beforeEach(() => {
    clock = fakeClock();
    policy = new ForwardingPolicy(clock, { flowsPerPeer: 4 });
    policy.addPeer(cli, [cliV4, cliV6]);
    policy.addPeer(agent, [agentV4, agentV6]);
    policy.addPeer(other, [otherV4]);
  });

  const there = (port = 22, flag = flags.syn, from = 50_000): ForwardDrop | undefined =>
    policy.check(tcp(cliV4, from, agentV4, port, flag), cli);
  const back = (port = 22, flag = flags.ack, to = 50_000): ForwardDrop | undefined =>
    policy.check(tcp(agentV4, port, cliV4, to, flag), agent);

  it('forwards nothing without a rule, and counts it', () => {
    expect(there()).toBe('no_rule');
    expect(policy.counters()).toMatchObject({ forwarded: 0, drops: { no_rule: 1 } });
  });

  it('lets through what a rule names, and nothing beside it', () => {
    policy.setRules(cli, [ssh]);
    expect(there()).toBeUndefined();
    expect(there(23)).toBe('no_rule');
    expect(policy.check(udp(cliV4, 50_000, agentV4, 22), cli)).toBe('no_rule');
    expect(policy.check(tcp(cliV4, 50_000, otherV4, 22, flags.syn), cli)).toBe('no_rule');
    expect(policy.check(tcp(cliV6, 50_000, agentV6, 22, flags.syn), cli)).toBe('no_rule');
    // The rule is the source's, not the address's: another peer has none.
    expect(policy.check(tcp(otherV4, 50_000, agentV4, 22, flags.syn), other)).toBe('no_rule');
  });

  it('lets the answers of a flow back, and no others', () => {
    policy.setRules(cli, [ssh]);
    expect(back()).toBe('no_rule');
    expect(there()).toBeUndefined();
    expect(back(22, flags.syn | flags.ack)).toBeUndefined();
    expect(back()).toBeUndefined();
    expect(back(22, flags.ack, 50_001)).toBe('no_rule');
    expect(back(23)).toBe('no_rule');
    expect(policy.check(udp(agentV4, 22, cliV4, 50_000), agent)).toBe('no_rule');
    // Who answers must be who was asked, whatever address it writes.
    expect(policy.check(tcp(otherV4, 22, cliV4, 50_000, flags.ack), other)).toBe('no_rule');
  });

  it('never lets the far end open a connection of its own through a flow', () => {
    policy.setRules(cli, [ssh]);
    expect(there()).toBeUndefined();
    expect(back(22, flags.syn)).toBe('bare_syn');
    expect(policy.counters().drops.bare_syn).toBe(1);
  });

  it('ends rules on time, with their flows, and does not revive them with the clock', () => {
    policy.setRules(cli, [{ ...ssh, until: clock.now() + 60_000 }]);
    expect(there()).toBeUndefined();
    clock.advance(59_999);
    expect([there(22, flags.ack), back()]).toEqual([undefined, undefined]);
    clock.advance(1);
    expect([there(22, flags.ack), back()]).toEqual(['rule_over', 'rule_over']);
    clock.advance(-3_600_000);
    expect([there(), back()]).toEqual(['rule_over', 'rule_over']);
  });

  it('is not fooled by a clock that was turned back before the end', () => {
    policy.setRules(cli, [{ ...ssh, until: clock.now() + 60_000 }]);
    expect(there()).toBeUndefined();
    clock.advance(-3_600_000);
    clock.advance(60_000);
    expect(there(22, flags.ack)).toBe('rule_over');
  });

  it('goes on with its flows when a rule is renewed, and ends them when it is taken back', () => {
    policy.setRules(cli, [{ ...ssh, until: clock.now() + 60_000 }]);
    expect(there()).toBeUndefined();
    policy.setRules(cli, [{ ...ssh, until: clock.now() + 120_000 }]);
    clock.advance(60_000);
    expect(back()).toBeUndefined();
    policy.setRules(cli, []);
    expect([there(22, flags.ack), back()]).toEqual(['no_rule', 'no_rule']);
  });

  it('ends everything of a peer with the peer', () => {
    policy.setRules(cli, [ssh]);
    expect(there()).toBeUndefined();
    policy.removePeer(cli);
    expect(back()).toBe('unknown_destination');
    policy.addPeer(cli, [cliV4, cliV6]);
    expect([there(), back()]).toEqual(['no_rule', 'no_rule']);
    // And flows towards a peer that left are not its successor's.
    policy.setRules(cli, [ssh]);
    expect(there()).toBeUndefined();
    policy.removePeer(agent);
    expect(there()).toBe('unknown_destination');
    policy.addPeer(agent, [agentV4, agentV6]);
    expect(back()).toBe('no_rule');
  });

  it('carries IPv6, UDP and echoes by the same rules', () => {
    policy.setRules(cli, [
      { destination: agentV6, protocol: 'tcp', port: 443 },
      { destination: agentV4, protocol: 'udp', port: 53 },
      { destination: agentV4, protocol: 'icmp' },
      { destination: agentV6, protocol: 'icmp' },
    ]);
    expect(policy.check(tcp(cliV6, 1_024, agentV6, 443, flags.syn), cli)).toBeUndefined();
    expect(policy.check(tcp(agentV6, 443, cliV6, 1_024, flags.syn | flags.ack), agent)).toBeUndefined();
    expect(policy.check(udp(cliV4, 5_353, agentV4, 53), cli)).toBeUndefined();
    expect(policy.check(udp(agentV4, 53, cliV4, 5_353), agent)).toBeUndefined();
    for (const [a, b] of [
      [cliV4, agentV4],
      [cliV6, agentV6],
    ] as const) {
      expect(policy.check(echo(a, b, 'request', 77), cli)).toBeUndefined();
      expect(policy.check(echo(b, a, 'reply', 77), agent)).toBeUndefined();
      expect(policy.check(echo(b, a, 'reply', 78), agent)).toBe('no_rule');
      expect(policy.check(echo(b, a, 'request', 77), agent)).toBe('no_rule');
      expect(policy.check(echo(a, b, 'unreachable', 77), cli)).toBe('icmp_type');
    }
  });

  it('forgets idle flows, and refuses more than a peer may have', () => {
    policy.setRules(cli, [{ destination: agentV4, protocol: 'udp', port: 53 }]);
    const ask = (port: number) => policy.check(udp(cliV4, port, agentV4, 53), cli);
    expect([1, 2, 3, 4].map(ask)).toEqual([undefined, undefined, undefined, undefined]);
    expect(ask(5)).toBe('flows_full');
    expect(ask(1)).toBeUndefined();
    clock.advance(120_000);
    expect(policy.check(udp(agentV4, 53, cliV4, 1), agent)).toBe('no_rule');
    expect(ask(5)).toBeUndefined();
  });

  it('sends nothing back to its sender, nor to nobody', () => {
    policy.setRules(cli, [{ ...ssh, destination: cliV6 }]);
    expect(policy.check(tcp(cliV6, 1, cliV6, 22, flags.syn), cli)).toBe('hairpin');
    expect(policy.check(tcp(cliV4, 1, '10.137.9.9', 22, flags.syn), cli)).toBe('unknown_destination');
  });

  it('lowers the hop count, keeps the checksum right, and drops at the last hop', () => {
    policy.setRules(cli, [ssh, { destination: agentV6, protocol: 'tcp', port: 22 }]);
    for (let hops = 255; hops >= 2; hops--) {
      const packet = tcp(cliV4, 50_000, agentV4, 22, flags.ack, hops);
      expect(policy.check(packet, cli)).toBeUndefined();
      expect([packet[8], headerChecksum(packet)]).toEqual([hops - 1, 0]);
    }
    const six = tcp(cliV6, 50_000, agentV6, 22, flags.ack, 9);
    expect(policy.check(six, cli)).toBeUndefined();
    expect(six[7]).toBe(8);
    expect(policy.check(tcp(cliV4, 50_000, agentV4, 22, flags.ack, 1), cli)).toBe('ttl_exceeded');
  });

  it('judges no packet it cannot read whole', () => {
    policy.setRules(cli, [ssh]);
    const good = tcp(cliV4, 50_000, agentV4, 22, flags.syn);
    for (let length = 0; length < good.length; length++) {
      expect(policy.check(Buffer.from(good.subarray(0, length)), cli)).toBe('bad_packet');
    }
    const fragment = Buffer.from(good);
    fragment.writeUInt16BE(0x2000, 6);
    fragment.writeUInt16BE(0, 10);
    fragment.writeUInt16BE(headerChecksum(fragment), 10);
    expect(policy.check(fragment, cli)).toBe('bad_packet');
  });

  it('says what it denied, once each, with the number of packets, and remembers no more than it may', () => {
    there();
    there();
    there(23);
    expect(policy.takeDenied()).toEqual([
      { slot: cli, destination: agentV4, protocol: 'tcp', port: 22, reason: 'no_rule', packets: 2 },
      { slot: cli, destination: agentV4, protocol: 'tcp', port: 23, reason: 'no_rule', packets: 1 },
    ]);
    expect(policy.takeDenied()).toEqual([]);
    for (let port = 1; port <= 1_000; port++) there(port);
    expect(policy.takeDenied()).toHaveLength(64);
    expect(policy.counters().drops.no_rule).toBe(1_003);
  });
});
