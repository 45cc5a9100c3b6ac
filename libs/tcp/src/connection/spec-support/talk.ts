import { MemoryLink, SeededRandom, VirtualClock, type Impairments } from '@coral/testing';
import type { TcpConnection, TcpError, TcpHandlers, TcpLimits } from '../index.js';
import { End } from './end.js';

const near = { address: '10.137.0.1', port: 40_000 };
const far = { address: '10.137.0.2', port: 9_000 };

/** How one side uses its connection. */
export interface Habits {
  /** Bytes it sends before it ends. */
  sends: number;
  /** Largest write. */
  writes: number;
  /** Pauses between turns of writing, up to so many ms; 0 writes whenever there is room. */
  writePause: number;
  /** Pauses between turns of reading; 0 reads at once. */
  readPause: number;
  /** Reads so much after a pause. */
  reads: number;
  /** Ends only after the other side has ended. */
  endsLast: boolean;
}

export const eager: Habits = {
  sends: 0,
  writes: 65_536,
  writePause: 0,
  readPause: 0,
  reads: Infinity,
  endsLast: false,
};

/** Byte `index` of what a side with this key sends. */
function byteAt(key: number, index: number): number {
  return (Math.imul(index ^ (index >>> 11), 0x9e3779b1) + key) >>> 24;
}

/** One side: writes its pattern, checks the other's. */
export class Talker {
  readonly handlers: TcpHandlers;
  connection: TcpConnection | undefined;
  received = 0;
  wrote = 0;
  ended = false;
  isOver = false;
  error: TcpError | undefined;
  connectedAt: number | undefined;
  endedAt: number | undefined;
  private room = true;
  private busyWriting = false;
  private busyReading = false;
  private readonly clock: VirtualClock;
  private readonly random: SeededRandom;
  private readonly habits: Habits;
  private readonly key: number;
  private readonly otherKey: number;

  constructor(clock: VirtualClock, random: SeededRandom, habits: Habits, key: number, otherKey: number) {
    this.clock = clock;
    this.random = random;
    this.habits = habits;
    this.key = key;
    this.otherKey = otherKey;
    this.handlers = {
      connected: () => this.start(),
      readable: () => this.read(),
      writable: () => {
        this.room = true;
        this.write();
      },
      ended: () => this.onEnded(),
      closed: (error) => this.onClosed(error),
    };
  }

  start(): void {
    this.connectedAt = this.clock.monotonic();
    this.write();
  }

  private write(): void {
    if (this.busyWriting || this.isOver) return;
    const connection = this.connection!;
    while (this.room && this.wrote < this.habits.sends) {
      const size = Math.min(this.random.between(1, this.habits.writes), this.habits.sends - this.wrote);
      const bytes = Buffer.alloc(size);
      for (let index = 0; index < size; index += 1) bytes[index] = byteAt(this.key, this.wrote + index);
      this.wrote += size;
      this.room = connection.write(bytes);
      if (this.habits.writePause > 0) {
        this.busyWriting = true;
        this.clock.after(this.random.float() * this.habits.writePause, () => {
          this.busyWriting = false;
          this.write();
        });
        return;
      }
    }
    if (this.wrote === this.habits.sends && (!this.habits.endsLast || this.ended)) connection.end();
  }

  private read(): void {
    if (this.busyReading || this.isOver) return;
    const connection = this.connection!;
    let left = this.habits.readPause > 0 ? this.habits.reads : Infinity;
    for (let bytes = connection.read(); bytes !== undefined; bytes = connection.read()) {
      this.check(bytes);
      left -= bytes.length;
      if (left <= 0) break;
    }
    if (this.habits.readPause > 0 && connection.unread > 0) {
      this.busyReading = true;
      this.clock.after(this.random.float() * this.habits.readPause, () => {
        this.busyReading = false;
        this.read();
      });
    }
  }

  private check(bytes: Buffer): void {
    for (let index = 0; index < bytes.length; index += 1) {
      if (bytes[index] !== byteAt(this.otherKey, this.received + index)) {
        throw new Error(`byte ${this.received + index} is not what was sent`);
      }
    }
    this.received += bytes.length;
  }

  private onEnded(): void {
    if (this.ended) throw new Error('ended twice');
    this.ended = true;
    this.endedAt = this.clock.monotonic();
    this.write();
  }

  private onClosed(error: TcpError | undefined): void {
    if (this.isOver) throw new Error('closed twice');
    this.isOver = true;
    this.error = error;
  }
}

export interface TalkOptions {
  seed: number | string;
  there?: Partial<Impairments>;
  back?: Partial<Impairments>;
  near?: Partial<Habits>;
  far?: Partial<Habits>;
  nearLimits?: Partial<TcpLimits>;
  farLimits?: Partial<TcpLimits>;
  nearMss?: number;
  farMss?: number;
  /** Options a middlebox takes out of every SYN. */
  strip?: { sack?: boolean; timestamps?: boolean; scale?: boolean };
  initialSequence?: number;
}

/** Two connections that talk over an impaired path in virtual time. */
export function talk(o: TalkOptions) {
  const clock = new VirtualClock();
  const random = new SeededRandom(o.seed);
  const strip = o.strip ?? {};
  const filter = (packet: Buffer): Buffer =>
    strip.sack || strip.timestamps || strip.scale ? stripped(packet, strip) : packet;
  const there = new MemoryLink({
    clock,
    random: random.fork('there'),
    impairments: o.there ?? {},
    deliver: (packet) => farEnd.onPacket(packet),
  });
  const back = new MemoryLink({
    clock,
    random: random.fork('back'),
    impairments: o.back ?? {},
    deliver: (packet) => nearEnd.onPacket(packet),
  });
  const nearEnd = new End({
    clock,
    local: near,
    remote: far,
    initialSequence: o.initialSequence ?? random.u32(),
    timestampOffset: random.u32(),
    ...(o.nearMss === undefined ? {} : { mss: o.nearMss }),
    limits: o.nearLimits,
    send: (packet) => there.send(filter(packet)),
  });
  const farEnd = new End({
    clock,
    local: far,
    remote: near,
    initialSequence: o.initialSequence ?? random.u32(),
    timestampOffset: random.u32(),
    ...(o.farMss === undefined ? {} : { mss: o.farMss }),
    limits: o.farLimits,
    send: (packet) => back.send(filter(packet)),
  });
  const nearSide = new Talker(clock, random.fork('near'), { ...eager, ...o.near }, 0x1234567, 0x89abcde);
  const farSide = new Talker(clock, random.fork('far'), { ...eager, ...o.far }, 0x89abcde, 0x1234567);
  clock.attach(nearEnd);
  clock.attach(farEnd);
  farEnd.listen((connection) => {
    farSide.connection = connection;
    clock.after(0, () => farSide.start());
    return farSide.handlers;
  });
  const startedAt = clock.monotonic();
  nearSide.connection = nearEnd.connect(nearSide.handlers);
  return { clock, random, there, back, nearEnd, farEnd, near: nearSide, far: farSide, startedAt };
}

const SYN = 0x02;
const NOP = 1;

/** Overwrites the options with NOPs and mends the checksum by taking them out of the sum. */
function stripped(packet: Buffer, strip: { sack?: boolean; timestamps?: boolean; scale?: boolean }): Buffer {
  const tcp = 20;
  if ((packet[tcp + 13]! & SYN) === 0) return packet;
  const end = tcp + (packet[tcp + 12]! >> 4) * 4;
  for (let at = tcp + 20; at < end;) {
    const kind = packet[at]!;
    if (kind === NOP) {
      at += 1;
      continue;
    }
    const size = packet[at + 1]!;
    if ((kind === 4 && strip.sack) || (kind === 8 && strip.timestamps) || (kind === 3 && strip.scale)) {
      packet.fill(NOP, at, at + size);
    }
    at += size;
  }
  packet.writeUInt16BE(0, tcp + 16);
  let sum = 6 + packet.length - tcp;
  for (let at = 12; at < packet.length; at += 2) sum += (packet[at]! << 8) + (packet[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  packet.writeUInt16BE(~sum & 0xffff, tcp + 16);
  return packet;
}
