/** Things with a time, taken out in the order of their times; at one time in the order they came (a binary heap). */
export class TimeQueue<T> {
  readonly #heap: { at: number; order: number; item: T }[] = [];
  #order = 0;

  get size(): number {
    return this.#heap.length;
  }

  /** Time of the first; `Infinity` when empty. */
  get nextAt(): number {
    return this.#heap[0]?.at ?? Infinity;
  }

  /** Grows by one with each `push`: a mark up to which `takeDue` may take. */
  get order(): number {
    return this.#order;
  }

  push(at: number, item: T): void {
    const entry = { at, order: (this.#order += 1), item };
    const heap = this.#heap;
    let place = heap.push(entry) - 1;
    for (; place > 0;) {
      const up = (place - 1) >> 1;
      if (!isBefore(entry, heap[up]!)) break;
      heap[place] = heap[up]!;
      place = up;
    }
    heap[place] = entry;
  }

  /** The first, if its time has come (and it was pushed no later than `upTo`, an `order`). */
  takeDue(now: number, upTo = Infinity): { item: T } | undefined {
    const first = this.#heap[0];
    if (!first || first.at > now || first.order > upTo) return undefined;
    const last = this.#heap.pop()!;
    if (last !== first) this.#sink(last);
    return first;
  }

  #sink(entry: { at: number; order: number; item: T }): void {
    const heap = this.#heap;
    let place = 0;
    for (;;) {
      let down = 2 * place + 1;
      if (down >= heap.length) break;
      if (down + 1 < heap.length && isBefore(heap[down + 1]!, heap[down]!)) down += 1;
      if (!isBefore(heap[down]!, entry)) break;
      heap[place] = heap[down]!;
      place = down;
    }
    heap[place] = entry;
  }
}

function isBefore(one: { at: number; order: number }, other: { at: number; order: number }): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}
