import type { Clock } from '@coral/model';
import type { IpHeader } from '@coral/tcp';
import type { ForwardProtocol } from './forwarding.types.js';

/** A flow that was idle for this long is forgotten; the next packet of its opener opens it again. RFC 5382, 4787, 5508. */
export const flowIdleMs: Record<ForwardProtocol, number> = { tcp: 7_440_000, udp: 120_000, icmp: 60_000 };

/** Addresses as words: a… whoever opened it, b… whoever answers. */
export interface Flow<Rule> {
  a0: number;
  a1: number;
  a2: number;
  a3: number;
  b0: number;
  b1: number;
  b2: number;
  b3: number;
  protocol: ForwardProtocol;
  owner: number;
  rule: Rule;
  usedAt: number;
}

interface Flows<Rule> {
  /** By both ports; few flows share them. */
  byPorts: Map<number, Flow<Rule>[]>;
  count: number;
}

/** Flows that a rule let a peer open: what may come back. Kept with whoever opened them, and bounded there. */
export class FlowTable<Rule> {
  readonly #clock: Clock;
  readonly #limit: number;
  readonly #byOpener = new Map<number, Flows<Rule>>();

  constructor(clock: Clock, flowsPerPeer: number) {
    this.#clock = clock;
    this.#limit = flowsPerPeer;
  }

  /** A packet of the opener's: notes the flow. False when it has too many. */
  open(
    opener: number,
    owner: number,
    protocol: ForwardProtocol,
    header: IpHeader,
    openerPort: number,
    port: number,
    rule: Rule,
  ): boolean {
    let flows = this.#byOpener.get(opener);
    if (!flows) this.#byOpener.set(opener, (flows = { byPorts: new Map(), count: 0 }));
    const key = openerPort * 65_536 + port;
    const chain = flows.byPorts.get(key);
    for (const flow of chain ?? []) {
      if (flow.b3 !== header.destination3 || flow.a3 !== header.source3 || flow.protocol !== protocol) continue;
      if (flow.b2 !== header.destination2 || flow.b1 !== header.destination1 || flow.b0 !== header.destination0)
        continue;
      if (flow.a2 !== header.source2 || flow.a1 !== header.source1 || flow.a0 !== header.source0) continue;
      flow.usedAt = this.#clock.monotonic();
      flow.rule = rule;
      flow.owner = owner;
      return true;
    }
    if (flows.count >= this.#limit) this.#dropIdle(flows);
    if (flows.count >= this.#limit) return false;
    const flow: Flow<Rule> = {
      a0: header.source0,
      a1: header.source1,
      a2: header.source2,
      a3: header.source3,
      b0: header.destination0,
      b1: header.destination1,
      b2: header.destination2,
      b3: header.destination3,
      protocol,
      owner,
      rule,
      usedAt: this.#clock.monotonic(),
    };
    if (chain) chain.push(flow);
    else flows.byPorts.set(key, [flow]);
    flows.count++;
    return true;
  }

  /** The flow that a packet towards `opener` answers. */
  answered(
    opener: number,
    protocol: ForwardProtocol,
    header: IpHeader,
    port: number,
    openerPort: number,
  ): Flow<Rule> | undefined {
    for (const flow of this.#byOpener.get(opener)?.byPorts.get(openerPort * 65_536 + port) ?? []) {
      if (flow.b3 !== header.source3 || flow.a3 !== header.destination3 || flow.protocol !== protocol) continue;
      if (flow.b2 !== header.source2 || flow.b1 !== header.source1 || flow.b0 !== header.source0) continue;
      if (flow.a2 !== header.destination2 || flow.a1 !== header.destination1 || flow.a0 !== header.destination0)
        continue;
      const now = this.#clock.monotonic();
      if (now - flow.usedAt >= flowIdleMs[protocol]) return undefined;
      flow.usedAt = now;
      return flow;
    }
    return undefined;
  }

  removePeer(slot: number): void {
    this.#byOpener.delete(slot);
    for (const flows of this.#byOpener.values()) keep(flows, (flow) => flow.owner !== slot);
  }

  removeRule(opener: number, rule: Rule): void {
    const flows = this.#byOpener.get(opener);
    if (flows) keep(flows, (flow) => flow.rule !== rule);
  }

  replaceRule(opener: number, before: Rule, after: Rule): void {
    for (const chain of this.#byOpener.get(opener)?.byPorts.values() ?? []) {
      for (const flow of chain) if (flow.rule === before) flow.rule = after;
    }
  }

  #dropIdle(flows: Flows<Rule>): void {
    const now = this.#clock.monotonic();
    keep(flows, (flow) => now - flow.usedAt < flowIdleMs[flow.protocol]);
  }
}

function keep<Rule>(flows: Flows<Rule>, wanted: (flow: Flow<Rule>) => boolean): void {
  flows.count = 0;
  for (const [key, chain] of flows.byPorts) {
    const rest = chain.filter(wanted);
    if (rest.length > 0) flows.byPorts.set(key, rest);
    else flows.byPorts.delete(key);
    flows.count += rest.length;
  }
}
