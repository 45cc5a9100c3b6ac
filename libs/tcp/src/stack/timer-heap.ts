/** What can be woken. `Infinity` in `wakeAt`: not at all. */
export interface Timed {
  /** When it wants to be woken, monotonic ms. */
  wakeAt: number;
  /** Where it stands in the heap, −1 when it does not. */
  heapIndex: number;
  /** The time it stands there with: never after `wakeAt`. */
  heapAt: number;
}

/**
 * One binary heap for the timers of all connections. A timer that moves to a later time (each ACK moves the
 * retransmission timer) stays where it is and is put right when it gets to the top, so that it costs nothing.
 */
export class TimerHeap<T extends Timed> {
  readonly #heap: T[] = [];

  get size(): number {
    return this.#heap.length;
  }

  set(item: T, at: number): void {
    item.wakeAt = at;
    if (item.heapIndex < 0) {
      if (at === Infinity) return;
      item.heapAt = at;
      item.heapIndex = this.#heap.length;
      this.#heap.push(item);
      this.#up(item);
    } else if (at < item.heapAt) {
      item.heapAt = at;
      this.#up(item);
    }
  }

  delete(item: T): void {
    item.wakeAt = Infinity;
    if (item.heapIndex >= 0) this.#take(item.heapIndex);
  }

  /** The next time anything is due. */
  nextAt(): number {
    return this.#top()?.wakeAt ?? Infinity;
  }

  first(): T | undefined {
    return this.#top();
  }

  /** Takes out the first that is due at `now`; call it until undefined. */
  takeDue(now: number): T | undefined {
    const top = this.#top();
    if (top === undefined || top.wakeAt > now) return undefined;
    this.#take(0);
    top.wakeAt = Infinity;
    return top;
  }

  /** The item on top, once it stands there with the time it wants. */
  #top(): T | undefined {
    for (;;) {
      const top = this.#heap[0];
      if (top === undefined || top.heapAt === top.wakeAt) return top;
      if (top.wakeAt === Infinity) this.#take(0);
      else {
        top.heapAt = top.wakeAt;
        this.#down(top);
      }
    }
  }

  #take(index: number): void {
    const taken = this.#heap[index];
    const last = this.#heap.pop();
    if (taken === undefined || last === undefined) return;
    taken.heapIndex = -1;
    if (taken === last) return;
    this.#heap[index] = last;
    last.heapIndex = index;
    this.#up(last);
    this.#down(last);
  }

  #up(item: T): void {
    let index = item.heapIndex;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = this.#heap[parentIndex];
      if (parent === undefined || parent.heapAt <= item.heapAt) break;
      this.#heap[index] = parent;
      parent.heapIndex = index;
      index = parentIndex;
    }
    this.#heap[index] = item;
    item.heapIndex = index;
  }

  #down(item: T): void {
    let index = item.heapIndex;
    for (;;) {
      const left = this.#heap[index * 2 + 1];
      const right = this.#heap[index * 2 + 2];
      const child = right !== undefined && left !== undefined && right.heapAt < left.heapAt ? right : left;
      if (child === undefined || child.heapAt >= item.heapAt) break;
      const childIndex = child.heapIndex;
      this.#heap[index] = child;
      child.heapIndex = index;
      index = childIndex;
    }
    this.#heap[index] = item;
    item.heapIndex = index;
  }
}
