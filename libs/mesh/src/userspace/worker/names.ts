import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { WorkerPeer } from './worker-peers.js';

export interface NamesEvents {
  /** An address to try for the peer. */
  found(peer: WorkerPeer, address: string, port: number): void;
  unresolved(peer: WorkerPeer, host: string, problem: string): void;
}

/** Endpoints given by name: looked up when the peer comes, and again, next address first, while it does not answer. */
export class Names {
  readonly #events: NamesEvents;
  readonly #looking = new Set<WorkerPeer>();

  constructor(events: NamesEvents) {
    this.#events = events;
  }

  /** The peer's endpoint as configured. One whose configuration has not changed keeps where it roamed to. */
  use(peer: WorkerPeer): void {
    const { endpoint } = peer.settings;
    if (!endpoint) return;
    const same = peer.tried?.host === endpoint.host && peer.tried.port === endpoint.port;
    if (same) return;
    peer.tried = { ...endpoint, turn: 0 };
    if (isIP(endpoint.host) === 0) void this.#look(peer);
    else this.#events.found(peer, endpoint.host, endpoint.port);
  }

  /** It did not answer: the next of its addresses, freshly looked up. */
  next(peer: WorkerPeer): void {
    if (!peer.tried || isIP(peer.tried.host) !== 0) return;
    peer.tried.turn++;
    void this.#look(peer);
  }

  async #look(peer: WorkerPeer): Promise<void> {
    const { tried } = peer;
    if (!tried || this.#looking.has(peer)) return;
    this.#looking.add(peer);
    try {
      const all = await lookup(tried.host, { all: true });
      const chosen = all[tried.turn % all.length];
      if (chosen && peer.tried === tried) this.#events.found(peer, chosen.address, tried.port);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      this.#events.unresolved(peer, tried.host, code ?? message);
    } finally {
      this.#looking.delete(peer);
    }
  }
}
