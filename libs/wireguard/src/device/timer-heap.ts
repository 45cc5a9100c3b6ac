import type { DevicePeer } from './peer.js';

/** Peers by the time the device has to look at them: a binary heap, since a colony has thousands and most only wait. */
export class TimerHeap {
  readonly #peers: DevicePeer[] = [];

  nextAt(): number {
    return this.#peers[0]?.timers.wakeAt ?? Number.POSITIVE_INFINITY;
  }

  /** Makes sure that the peer is looked at by the time it has something due. Cheap when that is so already. */
  wake(peer: DevicePeer): void {
    const { timers } = peer;
    const due = timers.due();
    if (due >= timers.wakeAt) return;
    timers.wakeAt = due;
    if (timers.heapPlace < 0) timers.heapPlace = this.#peers.push(peer) - 1;
    this.#up(timers.heapPlace);
  }

  /** Takes out a peer to be looked at by `now`. */
  takeDue(now: number): DevicePeer | undefined {
    const first = this.#peers[0];
    if (!first || first.timers.wakeAt > now) return undefined;
    this.remove(first);
    return first;
  }

  remove(peer: DevicePeer): void {
    const place = peer.timers.heapPlace;
    peer.timers.heapPlace = -1;
    peer.timers.wakeAt = Number.POSITIVE_INFINITY;
    if (place < 0) return;
    const last = this.#peers.pop();
    if (!last || last === peer) return;
    this.#put(last, place);
    this.#up(place);
    this.#down(last.timers.heapPlace);
  }

  clear(): void {
    for (const peer of this.#peers) {
      peer.timers.heapPlace = -1;
      peer.timers.wakeAt = Number.POSITIVE_INFINITY;
    }
    this.#peers.length = 0;
  }

  #put(peer: DevicePeer, place: number): void {
    this.#peers[place] = peer;
    peer.timers.heapPlace = place;
  }

  #at(place: number): number {
    return this.#peers[place]?.timers.wakeAt ?? Number.POSITIVE_INFINITY;
  }

  #up(from: number): void {
    let place = from;
    const peer = this.#peers[place] as DevicePeer;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (this.#at(parent) <= peer.timers.wakeAt) break;
      this.#put(this.#peers[parent] as DevicePeer, place);
      place = parent;
    }
    this.#put(peer, place);
  }

  #down(from: number): void {
    let place = from;
    const peer = this.#peers[place] as DevicePeer;
    for (;;) {
      const left = 2 * place + 1;
      const least = this.#at(left + 1) < this.#at(left) ? left + 1 : left;
      if (this.#at(least) >= peer.timers.wakeAt) break;
      this.#put(this.#peers[least] as DevicePeer, place);
      place = least;
    }
    this.#put(peer, place);
  }
}
