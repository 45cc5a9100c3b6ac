// What a hub lets through between two peers. WireGuard has already proven who sent a packet and that its source address is
// the sender's; here only: may it go where it wants to go? Pure: packets, rules and a clock in, verdicts out.
import type { Clock } from '@coral/model';
import { ICMP, ICMPV6, IpHeader, readIpHeader, TCP, UDP } from '@coral/tcp';
import { AddressMap, wordsOf, type Words } from './address-map.js';
import { FlowTable, type Flow } from './flow-table.js';
import {
  forwardDrops,
  type DeniedForward,
  type ForwardDrop,
  type ForwardingRule,
  type ForwardProtocol,
  type HubCounters,
} from './forwarding.types.js';

export interface ForwardingLimits {
  rulesPerPeer: number;
  flowsPerPeer: number;
  /** Different denials remembered between two calls of `takeDenied`; more only count. */
  denials: number;
}
export const defaultForwardingLimits: ForwardingLimits = { rulesPerPeer: 256, flowsPerPeer: 1_024, denials: 64 };

interface LiveRule extends Words {
  protocol: ForwardProtocol;
  port: number;
  until: number;
  monotonicEnd: number;
  over: boolean;
}

const synBit = 0x02;
const ackBit = 0x10;
const [echoReply, echoRequest, echoRequest6, echoReply6] = [0, 8, 128, 129];

/** Rules and flows by peer. Peers are known by their slot: a small number, unique while the peer lives. */
export class ForwardingPolicy {
  readonly #clock: Clock;
  readonly #limits: ForwardingLimits;
  readonly #owners = new AddressMap<number>();
  readonly #addresses = new Map<number, readonly Words[]>();
  readonly #rules = new Map<number, readonly LiveRule[]>();
  readonly #flows: FlowTable<LiveRule>;
  readonly #header = new IpHeader();
  #denied: DeniedForward[] = [];
  readonly #counters: HubCounters = {
    forwarded: 0,
    drops: Object.fromEntries(forwardDrops.map((reason) => [reason, 0])) as Record<ForwardDrop, number>,
  };
  // Of the packet last looked at.
  #protocol: ForwardProtocol | 'other' = 'other';
  #sourcePort = 0;
  #destinationPort = 0;
  #opens = true;
  #answers = false;

  constructor(clock: Clock, limits: Partial<ForwardingLimits> = {}) {
    this.#clock = clock;
    this.#limits = { ...defaultForwardingLimits, ...limits };
    this.#flows = new FlowTable(clock, this.#limits.flowsPerPeer);
  }

  /** From here on packets to these addresses are this peer's. Adding it again moves its addresses. */
  addPeer(slot: number, addresses: readonly string[]): void {
    for (const words of this.#addresses.get(slot) ?? []) this.#owners.delete(words);
    const all = addresses.map(wordsOf);
    for (const words of all) this.#owners.set(words, slot);
    this.#addresses.set(slot, all);
  }

  /** Rules and flows of the peer end with it, and flows of others towards it. */
  removePeer(slot: number): void {
    for (const words of this.#addresses.get(slot) ?? []) this.#owners.delete(words);
    this.#addresses.delete(slot);
    this.#rules.delete(slot);
    this.#flows.removePeer(slot);
  }

  /** Replaces what the peer may reach; flows whose rule is not among them any more end here. */
  setRules(slot: number, rules: readonly ForwardingRule[]): void {
    const before = this.#rules.get(slot) ?? [];
    const now = this.#clock.now();
    const monotonic = this.#clock.monotonic();
    const next = rules.slice(0, this.#limits.rulesPerPeer).map((rule): LiveRule => {
      const until = rule.until ?? Number.POSITIVE_INFINITY;
      const live = { ...wordsOf(rule.destination), protocol: rule.protocol, port: rule.port ?? 0 };
      return { ...live, until, monotonicEnd: monotonic + (until - now), over: until <= now };
    });
    this.#rules.set(slot, next);
    for (const old of before) {
      const kept = next.find((rule) => sameTarget(rule, old));
      if (kept) this.#flows.replaceRule(slot, old, kept);
      else this.#flows.removeRule(slot, old);
    }
  }

  /** Why the packet may not pass, or undefined; then its hop count has been lowered, and it is ready to be sent on. */
  check(packet: Buffer, source: number): ForwardDrop | undefined {
    const reason = this.#judge(packet, source);
    if (reason !== undefined) this.#deny(source, reason);
    return reason;
  }

  /** What became of a packet that passed. */
  sent(ok: boolean): void {
    if (ok) this.#counters.forwarded++;
    else this.#counters.drops.not_sent++;
  }

  get hasDenied(): boolean {
    return this.#denied.length > 0;
  }

  /** Denials since the last call, each with its number of packets. */
  takeDenied(): DeniedForward[] {
    const denied = this.#denied;
    if (denied.length > 0) this.#denied = [];
    return denied;
  }

  counters(): HubCounters {
    return { forwarded: this.#counters.forwarded, drops: { ...this.#counters.drops } };
  }

  #judge(packet: Buffer, source: number): ForwardDrop | undefined {
    const header = this.#header;
    this.#protocol = 'other';
    this.#sourcePort = this.#destinationPort = 0;
    const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
    if (readIpHeader(view, header) !== undefined) return 'bad_packet';
    const wrong = this.#readTransport(view, header);
    if (wrong) return wrong;
    const owner = this.#owners.get(header.destination0, header.destination1, header.destination2, header.destination3);
    if (owner === undefined) return 'unknown_destination';
    if (owner === source) return 'hairpin';
    const verdict = this.#mayPass(source, owner, header);
    return verdict ?? (lowerHopCount(packet, header.version) ? undefined : 'ttl_exceeded');
  }

  /** Ports, or for an echo its identifier in place of the asker's port. */
  #readTransport(view: DataView, header: IpHeader): ForwardDrop | undefined {
    const at = header.start;
    const bytes = header.end - at;
    this.#opens = true;
    this.#answers = true;
    if (header.protocol === TCP) {
      this.#protocol = 'tcp';
      if (bytes < 20) return 'bad_packet';
      const flags = view.getUint8(at + 13);
      this.#answers = (flags & synBit) === 0 || (flags & ackBit) !== 0;
    } else if (header.protocol === UDP) {
      this.#protocol = 'udp';
      if (bytes < 8) return 'bad_packet';
    } else if (header.protocol === (header.version === 4 ? ICMP : ICMPV6)) {
      this.#protocol = 'icmp';
      if (bytes < 8) return 'bad_packet';
      const type = view.getUint8(at);
      this.#opens = type === (header.version === 4 ? echoRequest : echoRequest6);
      this.#answers = type === (header.version === 4 ? echoReply : echoReply6);
      if (!this.#opens && !this.#answers) return 'icmp_type';
      const identifier = view.getUint16(at + 4);
      this.#sourcePort = this.#opens ? identifier : 0;
      this.#destinationPort = this.#opens ? 0 : identifier;
      return undefined;
    } else return 'no_rule';
    this.#sourcePort = view.getUint16(at);
    this.#destinationPort = view.getUint16(at + 2);
    return undefined;
  }

  #mayPass(source: number, owner: number, header: IpHeader): ForwardDrop | undefined {
    const protocol = this.#protocol as ForwardProtocol;
    const ruled = this.#opens ? this.#ruleFor(source, header) : undefined;
    if (ruled && !this.#isOver(ruled)) {
      const known = this.#flows.open(source, owner, protocol, header, this.#sourcePort, this.#destinationPort, ruled);
      return known ? undefined : 'flows_full';
    }
    const flow: Flow<LiveRule> | undefined = this.#flows.answered(
      owner,
      protocol,
      header,
      this.#sourcePort,
      this.#destinationPort,
    );
    if (!flow) return ruled ? 'rule_over' : 'no_rule';
    if (!this.#answers) return 'bare_syn';
    return this.#isOver(flow.rule) ? 'rule_over' : undefined;
  }

  #ruleFor(source: number, header: IpHeader): LiveRule | undefined {
    let over: LiveRule | undefined;
    for (const rule of this.#rules.get(source) ?? []) {
      if (rule.w3 !== header.destination3 || rule.w2 !== header.destination2) continue;
      if (rule.w1 !== header.destination1 || rule.w0 !== header.destination0) continue;
      if (rule.protocol !== this.#protocol || rule.port !== this.#destinationPort) continue;
      if (!this.#isOver(rule)) return rule;
      over = rule;
    }
    return over;
  }

  #isOver(rule: LiveRule): boolean {
    if (!rule.over && rule.until !== Number.POSITIVE_INFINITY) {
      rule.over = this.#clock.now() >= rule.until || this.#clock.monotonic() >= rule.monotonicEnd;
    }
    return rule.over;
  }

  #deny(slot: number, reason: ForwardDrop): void {
    this.#counters.drops[reason]++;
    const { destination0, destination1, destination2, destination3, version } = this.#header;
    const known = reason !== 'bad_packet';
    const destination = known ? formatWords(version, destination0, destination1, destination2, destination3) : '';
    const protocol = this.#protocol;
    const port = this.#destinationPort;
    const same = this.#denied.find(
      (one) =>
        one.slot === slot &&
        one.reason === reason &&
        one.port === port &&
        one.destination === destination &&
        one.protocol === protocol,
    );
    if (same) same.packets++;
    else if (this.#denied.length < this.#limits.denials) {
      this.#denied.push({ slot, destination, protocol, port, reason, packets: 1 });
    }
  }
}

function sameTarget(a: LiveRule, b: LiveRule): boolean {
  const words = a.w0 === b.w0 && a.w1 === b.w1 && a.w2 === b.w2 && a.w3 === b.w3;
  return words && a.protocol === b.protocol && a.port === b.port;
}

function formatWords(version: 4 | 6, ...words: number[]): string {
  if (version === 4) {
    const word = words[3] ?? 0;
    return [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255].join('.');
  }
  const groups = words.flatMap((word) => [word >>> 16, word & 0xffff]);
  return groups.map((group) => group.toString(16)).join(':');
}

/** One hop less; false when none was left. IPv4's checksum follows by RFC 1624 (equation 3). */
function lowerHopCount(packet: Buffer, version: 4 | 6): boolean {
  const at = version === 4 ? 8 : 7;
  const hops = packet[at] ?? 0;
  if (hops <= 1) return false;
  packet[at] = hops - 1;
  if (version === 4) {
    const sum = packet.readUInt16BE(10) + 0x0100;
    packet.writeUInt16BE((sum & 0xffff) + (sum >>> 16), 10);
  }
  return true;
}
