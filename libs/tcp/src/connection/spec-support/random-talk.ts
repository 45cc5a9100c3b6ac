import { SeededRandom } from '@coral/testing';
import type { Impairments } from '@coral/testing';
import { defaultLimits, type TcpLimits } from '../index.js';
import { talk, type Habits, type TalkOptions } from './talk.js';

const HOUR = 3_600_000;
/** What the talkers and links hold is not the connection's; what it may hold beyond its buffers: a write, a chunk's rounding. */
const SLACK = 2_048;

/** A conversation as wild as this seed has it. */
export function wildTalk(seed: number | string): TalkOptions {
  const random = new SeededRandom(`wild ${seed}`);
  const slow = random.chance(0.2);
  const path = (): Partial<Impairments> => ({
    loss: random.chance(0.6) ? random.float() * random.pick([0.02, 0.1, 0.3]) : 0,
    duplicate: random.chance(0.3) ? random.float() * 0.2 : 0,
    reorder: random.chance(0.4) ? random.float() * 0.3 : 0,
    reorderByMs: random.pick([1, 5, 50, 300]),
    corrupt: random.chance(0.2) ? random.float() * 0.05 : 0,
    delayMs: random.pick([0, 0.2, 5, 20, 150]),
    jitterMs: random.chance(0.3) ? random.float() * 40 : 0,
    rate: slow ? random.between(200_000, 20_000_000) : Infinity,
    queueBytes: random.pick([4_000, 20_000, 200_000]),
  });
  const habits = (): Partial<Habits> => ({
    sends: random.pick([0, 1, 300, 20_000, 120_000, 400_000]),
    writes: random.pick([1, 40, 1_000, 30_000, 200_000]),
    writePause: random.chance(0.3) ? random.pick([1, 20, 400]) : 0,
    readPause: random.chance(0.3) ? random.pick([2, 50, 1_500]) : 0,
    reads: random.pick([1, 700, 20_000, Infinity]),
    endsLast: false,
  });
  const near = tamed(habits());
  const far = tamed(habits());
  const last = random.pick(['none', 'none', 'near', 'far']);
  near.endsLast = last === 'near';
  far.endsLast = last === 'far';
  const strip = { sack: random.chance(0.15), timestamps: random.chance(0.2), scale: random.chance(0.2) };
  return {
    seed,
    there: path(),
    back: path(),
    near,
    far,
    nearLimits: wildLimits(random),
    farLimits: wildLimits(random),
    nearMss: random.pick([216, 536, 1_240, 1_380]),
    farMss: random.pick([216, 536, 1_240, 1_380]),
    strip: random.chance(0.5) ? strip : {},
    ...(random.chance(0.3) ? { initialSequence: 2 ** 32 - random.between(1, 200_000) } : {}),
  };
}

/** Byte by byte is worth it for little only. */
function tamed(habits: Partial<Habits>): Partial<Habits> {
  const steps = (size: number, pause: number): number =>
    Math.max(size, Math.ceil(habits.sends! / (pause > 50 ? 40 : 2_000)));
  return { ...habits, writes: steps(habits.writes!, habits.writePause!), reads: Math.max(habits.reads!, 700) };
}

function wildLimits(random: SeededRandom): Partial<TcpLimits> {
  return {
    giveUpMs: 10 * HOUR,
    connectTimeoutMs: 10 * HOUR,
    timeWaitMs: random.pick([120_000, 600_000]),
    initialReceiveBuffer: random.pick([500, 4_000, 65_536]),
    maxReceiveBuffer: random.pick([70_000, 4 * 1024 * 1024]),
    minSendBuffer: random.pick([1_000, 20_000, 131_072]),
    maxSendBuffer: random.pick([200_000, 4 * 1024 * 1024]),
    quickAcks: random.pick([0, 16]),
    maxOutOfOrderRanges: random.pick([3, 512]),
    burstSegments: random.pick([2, 32]),
  };
}

/** Runs it to the end and throws when a promise is broken. Returns the virtual milliseconds it took. */
export function runWildTalk(seed: number | string): number {
  const options = wildTalk(seed);
  const pair = talk(options);
  const { near, far, nearEnd, farEnd, clock } = pair;
  const took = clock.runUntil(() => near.isOver && far.isOver && nearEnd.isClosed && farEnd.isClosed, 10 * HOUR);
  const wrong = (what: string): never => {
    throw new Error(`seed ${seed}: ${what}`);
  };
  if (near.error !== undefined || far.error !== undefined)
    wrong(`ended with ${near.error?.reason} and ${far.error?.reason}`);
  if (near.received !== options.far!.sends) wrong(`near read ${near.received} of ${options.far!.sends} bytes`);
  if (far.received !== options.near!.sends) wrong(`far read ${far.received} of ${options.near!.sends} bytes`);
  if (nearEnd.memoryBytes !== 0 || farEnd.memoryBytes !== 0) wrong('bytes are still held when all is over');
  checkMemory('near', nearEnd.mostMemory, options.nearLimits!, options.near!, wrong);
  checkMemory('far', farEnd.mostMemory, options.farLimits!, options.far!, wrong);
  if (nearEnd.nextTimerAt() !== Infinity || farEnd.nextTimerAt() !== Infinity) wrong('a timer is still set');
  return took;
}

function checkMemory(
  side: string,
  most: number,
  limits: Partial<TcpLimits>,
  habits: Partial<Habits>,
  wrong: (what: string) => never,
): void {
  const { maxReceiveBuffer, maxSendBuffer } = { ...defaultLimits, ...limits };
  const allowed = maxReceiveBuffer + maxSendBuffer + habits.writes! + SLACK;
  if (most > allowed) wrong(`${side} held ${most} bytes, more than ${allowed}`);
}
