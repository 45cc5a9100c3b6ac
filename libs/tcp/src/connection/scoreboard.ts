/** What is known of a segment that was sent and not yet acknowledged. */
export const IN_FLIGHT = 0;
export const LOST = 1;
export const SACKED = 2;

export interface SentSegment {
  start: number;
  /** One after its last sequence number: a FIN counts. */
  end: number;
  fin: boolean;
  /** Of the last transmission; monotonic ms, and the timestamp option it bore. */
  sentAt: number;
  timestamp: number;
  retransmitted: boolean;
  state: typeof IN_FLIGHT | typeof LOST | typeof SACKED;
  /** Neighbours in order of transmission; only segments in flight are linked. */
  older: SentSegment | undefined;
  newer: SentSegment | undefined;
}

/** Released entries at the front before the array is compacted. */
const COMPACT_AT = 256;

/**
 * All segments between SND.UNA and SND.NXT, in order of sequence (RFC 6675 §3), and those in flight in order of
 * transmission too (RFC 8985 §5.2). A SACK counts for segments it covers wholly.
 */
export class Scoreboard {
  private segments: SentSegment[] = [];
  private first = 0;
  private lostCount = 0;
  private sackedCountNow = 0;
  private pipeBytes = 0;
  /** No lost segment starts before this. */
  private lostFrom = 0;
  /** [left, covered to, …] of the last SACK blocks: a block that has grown is read from where it ended. */
  private seenBlocks: number[] = [];
  private oldestInFlight: SentSegment | undefined;
  private newestInFlight: SentSegment | undefined;
  private readonly onDelivered: (segment: SentSegment) => void;

  /** `onDelivered` hears of each segment once, when it is first acknowledged or SACKed. */
  constructor(onDelivered: (segment: SentSegment) => void) {
    this.onDelivered = onDelivered;
  }

  /** Bytes in flight: sent, not delivered, not taken for lost (RFC 6675 "pipe"). */
  get pipe(): number {
    return this.pipeBytes;
  }

  get empty(): boolean {
    return this.first === this.segments.length;
  }

  get sackedCount(): number {
    return this.sackedCountNow;
  }

  get hasLost(): boolean {
    return this.lostCount > 0;
  }

  get head(): SentSegment | undefined {
    return this.segments[this.first];
  }

  get last(): SentSegment | undefined {
    return this.empty ? undefined : this.segments[this.segments.length - 1];
  }

  /** The segment in flight that was sent first; follow `newer`. */
  get oldest(): SentSegment | undefined {
    return this.oldestInFlight;
  }

  add(start: number, end: number, fin: boolean, now: number, timestamp: number): void {
    const segment: SentSegment = {
      start,
      end,
      fin,
      sentAt: now,
      timestamp,
      retransmitted: false,
      state: IN_FLIGHT,
      older: undefined,
      newer: undefined,
    };
    this.segments.push(segment);
    this.link(segment);
  }

  resent(segment: SentSegment, now: number, timestamp: number): void {
    if (segment.state === LOST) this.lostCount--;
    else this.unlink(segment);
    segment.state = IN_FLIGHT;
    segment.sentAt = now;
    segment.timestamp = timestamp;
    segment.retransmitted = true;
    this.link(segment);
  }

  /** Cumulative acknowledgment. Returns the bytes this delivered (without those SACKed before). */
  acknowledge(position: number): number {
    let delivered = 0;
    while (this.first < this.segments.length) {
      const segment = this.segments[this.first]!;
      if (segment.end > position) {
        if (segment.start < position) delivered += this.trim(segment, position);
        break;
      }
      delivered += this.deliver(segment);
      if (segment.state === SACKED) this.sackedCountNow--;
      this.segments[this.first] = GONE;
      this.first++;
    }
    if (this.first === this.segments.length) {
      this.segments.length = 0;
      this.first = 0;
      this.seenBlocks.length = 0;
    } else if (this.first >= COMPACT_AT && this.first * 2 > this.segments.length) {
      this.segments.splice(0, this.first);
      this.first = 0;
    }
    return delivered;
  }

  /** Selective acknowledgment of [left, right). Returns the bytes this newly delivered. */
  sack(left: number, right: number): number {
    let delivered = 0;
    let covered = left;
    const seen = this.seenBlock(left);
    if (seen >= 0 && this.seenBlocks[seen + 1]! <= right) covered = this.seenBlocks[seen + 1]!;
    for (let index = this.indexFrom(covered); index < this.segments.length; index++) {
      const segment = this.segments[index]!;
      if (segment.end > right) break;
      covered = segment.end;
      if (segment.state === SACKED) continue;
      delivered += this.deliver(segment);
      segment.state = SACKED;
      this.sackedCountNow++;
    }
    this.seeBlock(seen, left, covered);
    return delivered;
  }

  markLost(segment: SentSegment): void {
    if (segment.state !== IN_FLIGHT) return;
    this.unlink(segment);
    segment.state = LOST;
    this.lostCount++;
    this.lostFrom = Math.min(this.lostFrom, segment.start);
  }

  markAllLost(): void {
    for (let segment = this.oldestInFlight; segment !== undefined; segment = this.oldestInFlight)
      this.markLost(segment);
  }

  /** The lost segment with the lowest sequence number. */
  nextLost(): SentSegment | undefined {
    if (this.lostCount === 0) {
      this.lostFrom = Infinity;
      return undefined;
    }
    for (let index = this.indexFrom(this.lostFrom); index < this.segments.length; index++) {
      const segment = this.segments[index]!;
      if (segment.state === LOST) {
        this.lostFrom = segment.start;
        return segment;
      }
    }
    return undefined;
  }

  /** Leaves `bytes` in the segment and makes a second one of the rest: it became too long for the path. */
  split(segment: SentSegment, bytes: number): void {
    const rest: SentSegment = { ...segment, start: segment.start + bytes, older: undefined, newer: undefined };
    this.segments.splice(this.indexFrom(segment.start) + 1, 0, rest);
    segment.end = rest.start;
    segment.fin = false;
    if (segment.state === LOST) this.lostCount++;
    if (segment.state === SACKED) this.sackedCountNow++;
    if (segment.state === IN_FLIGHT) {
      rest.older = segment;
      rest.newer = segment.newer;
      if (segment.newer) segment.newer.older = rest;
      else this.newestInFlight = rest;
      segment.newer = rest;
    }
  }

  /** Joins the lost segments behind this lost one to it, as far as they fit: many small ones go again as one. */
  joinLost(segment: SentSegment, bytes: number): void {
    const from = this.indexFrom(segment.start) + 1;
    let to = from;
    while (to < this.segments.length) {
      const next = this.segments[to]!;
      if (next.state !== LOST || next.end - segment.start > bytes) break;
      segment.end = next.end;
      segment.fin = next.fin;
      this.lostCount--;
      to++;
    }
    if (to > from) this.segments.splice(from, to - from);
  }

  /** The peer has thrown away what it had SACKed (RFC 2018 §8): all of that is to be sent again. */
  forgetSacks(): void {
    this.seenBlocks.length = 0;
    for (let index = this.first; index < this.segments.length; index++) {
      const segment = this.segments[index]!;
      if (segment.state !== SACKED) continue;
      segment.state = LOST;
      this.sackedCountNow--;
      this.lostCount++;
      this.lostFrom = Math.min(this.lostFrom, segment.start);
    }
  }

  /** The timeout was spurious: what was taken for lost, and not sent again since, is in flight as before. */
  unmarkLost(): void {
    if (this.lostCount === 0) return;
    const inFlight: SentSegment[] = [];
    for (let index = this.first; index < this.segments.length; index++) {
      const segment = this.segments[index]!;
      if (segment.state === LOST) segment.state = IN_FLIGHT;
      if (segment.state === IN_FLIGHT) inFlight.push(segment);
    }
    this.lostCount = 0;
    this.pipeBytes = 0;
    this.oldestInFlight = undefined;
    this.newestInFlight = undefined;
    inFlight.sort((left, right) => left.sentAt - right.sentAt || left.start - right.start);
    for (const segment of inFlight) {
      segment.older = undefined;
      segment.newer = undefined;
      this.link(segment);
    }
  }

  private deliver(segment: SentSegment): number {
    if (segment.state === SACKED) return 0;
    if (segment.state === LOST) this.lostCount--;
    else this.unlink(segment);
    this.onDelivered(segment);
    return segment.end - segment.start;
  }

  /** Part of the first segment was acknowledged. */
  private trim(segment: SentSegment, position: number): number {
    const bytes = position - segment.start;
    segment.start = position;
    if (segment.state === IN_FLIGHT) this.pipeBytes -= bytes;
    return segment.state === SACKED ? 0 : bytes;
  }

  private seenBlock(left: number): number {
    for (let index = 0; index < this.seenBlocks.length; index += 2) {
      if (this.seenBlocks[index] === left) return index;
    }
    return -1;
  }

  private seeBlock(seen: number, left: number, covered: number): void {
    if (seen >= 0) {
      this.seenBlocks[seen + 1] = covered;
      return;
    }
    if (this.seenBlocks.length >= 8) this.seenBlocks.splice(0, 2);
    this.seenBlocks.push(left, covered);
  }

  /** Index of the first segment that does not start before `position`. */
  private indexFrom(position: number): number {
    let low = this.first;
    let high = this.segments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.segments[middle]!.start < position) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private link(segment: SentSegment): void {
    segment.older = this.newestInFlight;
    segment.newer = undefined;
    if (this.newestInFlight) this.newestInFlight.newer = segment;
    else this.oldestInFlight = segment;
    this.newestInFlight = segment;
    this.pipeBytes += segment.end - segment.start;
  }

  private unlink(segment: SentSegment): void {
    if (segment.older) segment.older.newer = segment.newer;
    else this.oldestInFlight = segment.newer;
    if (segment.newer) segment.newer.older = segment.older;
    else this.newestInFlight = segment.older;
    segment.older = undefined;
    segment.newer = undefined;
    this.pipeBytes -= segment.end - segment.start;
  }
}

const GONE: SentSegment = Object.freeze({
  start: 0,
  end: 0,
  fin: false,
  sentAt: 0,
  timestamp: 0,
  retransmitted: false,
  state: SACKED,
  older: undefined,
  newer: undefined,
}) as SentSegment;
