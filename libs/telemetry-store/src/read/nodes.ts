import type { NodeRow } from '@coral/tools';
import type { Session } from '../database.js';
import { numberOf, textOf } from '../rows.js';
import type { EdgeGroup } from './groups.js';

/** Once seen: a call from this service to this address was answered by that service. */
export interface LearnedPeer {
  fromService: string;
  address: string;
  toService: string;
  firstSeenMs: number;
  lastSeenMs: number;
  calls: number;
}

export async function readPeers(sql: Session): Promise<LearnedPeer[]> {
  const rows = await sql.rows('SELECT * FROM peer ORDER BY from_service, address, last_seen_ms DESC, to_service');
  return rows.map((row) => ({
    fromService: textOf(row, 'from_service'),
    address: textOf(row, 'address'),
    toService: textOf(row, 'to_service'),
    firstSeenMs: numberOf(row, 'first_seen_ms'),
    lastSeenMs: numberOf(row, 'last_seen_ms'),
    calls: numberOf(row, 'calls'),
  }));
}

/**
 * Tells which node an edge ends at. A request's address stands for the service that was seen answering it. Where several
 * answered at one address in the same window (a proxy that is not instrumented), the calls cannot be told apart: the
 * edge ends at the address, and `ambiguous` names it.
 */
export class NodeResolver {
  readonly #peers: Map<string, LearnedPeer[]>;
  readonly #from: number;
  readonly ambiguous = new Map<string, string[]>();

  /** `from`: start of the window asked about, ms. */
  constructor(peers: readonly LearnedPeer[], from: number) {
    this.#peers = Map.groupBy(peers, (peer) => keyOf(peer.fromService, peer.address));
    this.#from = from;
  }

  nodeOf(edge: Pick<EdgeGroup, 'service' | 'kind' | 'address' | 'system' | 'name'>): NodeRow {
    if (edge.kind !== 'request') return dependencyNode(edge.kind, edge.system, edge.name, edge.address);
    const answered = this.#peers.get(keyOf(edge.service, edge.address)) ?? [];
    const inWindow = answered.filter((peer) => peer.lastSeenMs >= this.#from);
    const [best, second] = inWindow.length > 0 ? inWindow : answered.slice(0, 1);
    if (best !== undefined && second === undefined) {
      return { id: best.toService, kind: 'service', name: best.toService };
    }
    const external = dependencyNode('external', edge.system || 'http', '', edge.address);
    if (best !== undefined) this.ambiguous.set(external.id, inWindow.map((peer) => peer.toService).toSorted());
    return external;
  }
}

function dependencyNode(
  kind: 'database' | 'queue' | 'external',
  system: string,
  name: string,
  address: string,
): NodeRow {
  const where = address === '' ? 'unknown' : address;
  const what = name === '' ? system || kind : `${system || kind}:${name}`;
  return { id: `${what}@${where}`, kind, name: name === '' ? where : name, ...(system === '' ? {} : { system }) };
}

function keyOf(fromService: string, address: string): string {
  return JSON.stringify([fromService, address]);
}
