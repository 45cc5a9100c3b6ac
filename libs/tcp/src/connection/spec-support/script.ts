import { VirtualClock } from '@coral/testing';
import { ACK, FIN, NO_OPTIONS, PSH, RST, SYN, URG, type SackBlock, type Segment } from '../../wire/segment.js';
import type { TcpConnection, TcpError, TcpHandlers, TcpLimits } from '../index.js';
import { End, parse } from './end.js';

export interface Incoming {
  /** Sequence number relative to the peer's ISS: 0 is the SYN, 1 the first byte. */
  seq?: number;
  /** Relative to our ISS. */
  ack?: number;
  /** As in the header. */
  win?: number;
  data?: string | number;
  mss?: number;
  scale?: number;
  sackPermitted?: boolean;
  /** Relative to our ISS. */
  sack?: readonly SackBlock[];
  /** TSval and TSecr, the echo relative to our offset. */
  ts?: readonly [value: number, echo: number];
}

const letters: [number, string][] = [
  [SYN, 'S'],
  [FIN, 'F'],
  [RST, 'R'],
  [PSH, 'P'],
  [URG, 'U'],
  [ACK, '.'],
];
const local = { address: '10.137.0.1', port: 40_000 };
const remote = { address: '10.137.0.2', port: 9_000 };

/**
 * One connection; the test is its peer, segment by segment and millisecond by millisecond (as packetdrill has it).
 * `in('S.', …)` is a segment that comes, `out()` gives those that went since: `"P. 1:101(100) ack 1 win 502"`.
 */
export class Script {
  readonly clock = new VirtualClock({ monotonic: 1_000_000 });
  readonly end: End;
  readonly events: string[] = [];
  readonly readData: Buffer[] = [];
  /** Reads whatever comes, as it comes. */
  reads = true;
  error: TcpError | undefined;
  private readonly ours: number;
  private readonly theirs: number;
  private readonly offset: number;
  private readonly window: number;
  private sent: Buffer[] = [];

  constructor(
    o: {
      ours?: number;
      theirs?: number;
      limits?: Partial<TcpLimits>;
      mss?: number;
      window?: number;
      timestampOffset?: number;
    } = {},
  ) {
    this.ours = o.ours ?? 1_000;
    this.theirs = o.theirs ?? 5_000;
    this.offset = o.timestampOffset ?? 0;
    this.window = o.window ?? 65_535;
    this.end = new End({
      clock: this.clock,
      local,
      remote,
      initialSequence: this.ours,
      // So that our timestamps read as milliseconds since the start of the test.
      timestampOffset: (this.offset - 1_000_000) >>> 0,
      mss: o.mss ?? 1_000,
      limits: o.limits,
      send: (packet) => void this.sent.push(packet),
    });
    this.clock.attach(this.end);
  }

  get connection(): TcpConnection {
    return this.end.connection!;
  }

  get state(): string {
    return this.connection.state;
  }

  get text(): string {
    return Buffer.concat(this.readData).toString();
  }

  readonly handlers: TcpHandlers = {
    connected: () => void this.events.push('connected'),
    readable: () => {
      this.events.push('readable');
      if (this.reads) this.readAll();
    },
    writable: () => void this.events.push('writable'),
    ended: () => void this.events.push('ended'),
    closed: (error) => {
      this.error = error;
      this.events.push(error === undefined ? 'closed' : `closed ${error.reason}`);
    },
  };

  readAll(): void {
    for (let bytes = this.connection.read(); bytes !== undefined; bytes = this.connection.read())
      this.readData.push(bytes);
  }

  /** Our side connects. */
  connect(): this {
    this.end.connect(this.handlers);
    this.end.endOfTurn();
    return this;
  }

  listen(accept: boolean = true): this {
    this.end.listen(() => (accept ? this.handlers : undefined));
    return this;
  }

  /** Connects and shakes hands without options but what is named. */
  established(o: { mss?: number; scale?: number; sackPermitted?: boolean; ts?: boolean; win?: number } = {}): this {
    this.connect();
    const { ts, ...rest } = o;
    this.in('S.', { seq: 0, ack: 1, mss: 1_000, ...rest, ...(ts ? { ts: [7_000, 0] as const } : {}) });
    this.out();
    this.events.length = 0;
    return this;
  }

  /** A segment comes, and the turn ends. */
  in(flags: string, o: Incoming = {}): void {
    this.inTurn([[flags, o]]);
  }

  /** Several come in one turn. */
  inTurn(segments: readonly (readonly [flags: string, o: Incoming])[]): void {
    for (const [flags, o] of segments) this.end.onSegment(this.segment(flags, o));
    this.end.endOfTurn();
  }

  write(data: string | number): boolean {
    const room = this.connection.write(bytesOf(data));
    this.end.endOfTurn();
    return room;
  }

  close(): void {
    this.connection.end();
    this.end.endOfTurn();
  }

  /** Time passes; what goes out meanwhile is in `out()`. */
  wait(ms: number): void {
    this.clock.advance(ms);
  }

  /** Time passes until something goes out. Returns the milliseconds. */
  waitForOutput(limitMs: number): number {
    return this.clock.runUntil(() => this.sent.length > 0, limitMs);
  }

  out(): string[] {
    return this.take().map((segment) => this.show(segment));
  }

  take(): Segment[] {
    return this.sent.splice(0).map((packet) => parse(packet)!);
  }

  private segment(flags: string, o: Incoming): Segment {
    let bits = 0;
    for (const letter of flags) bits |= letters.find(([, name]) => name === letter)![0];
    const options = {
      ...NO_OPTIONS,
      mss: o.mss,
      windowScale: o.scale,
      sackPermitted: o.sackPermitted ?? false,
      sack: o.sack?.map(([left, right]): SackBlock => [(left + this.ours) >>> 0, (right + this.ours) >>> 0]),
      timestamp: o.ts === undefined ? undefined : { value: o.ts[0] >>> 0, echo: (o.ts[1] + this.offset) >>> 0 },
    };
    return {
      sourcePort: remote.port,
      destinationPort: local.port,
      seq: ((o.seq ?? 1) + this.theirs) >>> 0,
      ack: bits & ACK ? ((o.ack ?? 1) + this.ours) >>> 0 : 0,
      flags: bits,
      window: o.win ?? this.window,
      options,
      payload: bytesOf(o.data ?? 0),
      congestionExperienced: false,
    };
  }

  private show(segment: Segment): string {
    const flags = letters
      .filter(([bit]) => segment.flags & bit)
      .map(([, letter]) => letter)
      .join('');
    const seq = (segment.seq - this.ours) | 0;
    const { mss, windowScale, sackPermitted, sack, timestamp } = segment.options;
    const size = segment.payload.length;
    return [
      `${flags} ${seq}:${seq + size}(${size})`,
      segment.flags & ACK ? ` ack ${(segment.ack - this.theirs) | 0}` : '',
      segment.flags & RST ? '' : ` win ${segment.window}`,
      mss === undefined ? '' : ` mss ${mss}`,
      windowScale === undefined ? '' : ` scale ${windowScale}`,
      sackPermitted ? ' sackOK' : '',
      sack === undefined
        ? ''
        : ` sack ${sack.map(([left, right]) => `${(left - this.theirs) | 0}-${(right - this.theirs) | 0}`).join(',')}`,
      timestamp === undefined ? '' : ` ts ${(timestamp.value - this.offset) | 0}/${timestamp.echo}`,
    ].join('');
  }
}

function bytesOf(data: string | number): Buffer {
  return typeof data === 'string' ? Buffer.from(data) : Buffer.alloc(data, 'x');
}
