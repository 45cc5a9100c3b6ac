import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ImpairmentProxy, type Impairments } from '@coral/testing';
import { CoreEndpoint } from './support/core-endpoint.js';
import type { CoreSocket } from './support/core-socket.js';
import { performTask, sha256OfStream, type TcpResult, type TcpTask } from './support/kernel-peer.js';
import { kernelInner, KernelStage, type Joined } from './support/kernel-stage.js';
import { describeInterop, isLongRun } from './support/requirements.js';

const MB = 1_000_000;

const stream = (seed: number, bytes: number): Partial<TcpResult> => ({
  received: bytes,
  sha256: sha256OfStream(seed, bytes),
  end: 'fin',
});

const mbit = (result: TcpResult): number => (result.received * 8) / result.receiveMs / 1_000;

const percent = (share: number): string => `${share * 100} %`;

/** A line for the log of a run: rates are not judged where no bar is set, but someone may want to read them. */
function note(name: string, ...results: TcpResult[]): void {
  const shown = results.map(
    (one) =>
      `${(one.received / MB).toFixed(1)} MB ${mbit(one).toFixed(1)} Mbit/s, gap ${one.longestGapMs.toFixed(0)} ms`,
  );
  console.log(`${name}: ${shown.join(' | ')}`);
}

interface BadPath {
  name: string;
  impairments: Partial<Impairments>;
  bytes: number;
}

const usual: BadPath[] = [
  { name: 'loss 0.1 %', impairments: { loss: 0.001 }, bytes: 5 * MB },
  { name: 'loss 5 %, delay 1 ms', impairments: { loss: 0.05, delayMs: 1 }, bytes: 1 * MB },
  { name: 'reorder 5 %, duplicate 2 %', impairments: { reorder: 0.05, duplicate: 0.02 }, bytes: 3 * MB },
  { name: 'delay 100 ms', impairments: { delayMs: 50 }, bytes: 2 * MB },
  {
    name: 'all at once',
    impairments: { loss: 0.01, reorder: 0.05, duplicate: 0.02, corrupt: 0.005, delayMs: 5, jitterMs: 5 },
    bytes: 1 * MB,
  },
];

/** Table 7 of the plan, every cell: delays are there and back. */
const matrix: BadPath[] = [0, 0.001, 0.01, 0.05].flatMap((loss) =>
  [0, 1, 20, 100].flatMap((delay) =>
    [false, true].map((isDisordered) => ({
      name: `loss ${percent(loss)}, delay ${delay} ms${isDisordered ? ', reorder 5 %, duplicate 2 %' : ''}`,
      impairments: { loss, delayMs: delay / 2, ...(isDisordered ? { reorder: 0.05, duplicate: 0.02 } : {}) },
      bytes: loss >= 0.05 ? 0.5 * MB : loss * delay >= 0.2 ? 2 * MB : 10 * MB,
    })),
  ),
);

const paths = isLongRun ? matrix : usual;

describeInterop('our TCP and the kernel’s on a bad path', () => {
  let stage: KernelStage;
  beforeAll(async () => {
    stage = await KernelStage.start();
  });
  afterAll(() => stage?.stop());

  async function dialKernel(joined: Joined, ours: TcpTask, kernel: TcpTask): Promise<[TcpResult, TcpResult]> {
    const listener = await stage.kernel.listen(kernel);
    const socket = await joined.ours.connect(kernelInner.v4, listener.port);
    const port = socket.localPort;
    return [await performTask(socket, ours), await listener.result(port)];
  }

  const down = (joined: Joined, bytes: number) =>
    dialKernel(joined, { do: 'receive' }, { do: 'send', bytes, seed: 2 }).then(([ours]) => ours);
  const up = (joined: Joined, bytes: number) =>
    dialKernel(joined, { do: 'send', bytes, seed: 1 }, { do: 'receive' }).then(([, kernel]) => kernel);

  it.each(paths)('$name: everything arrives, both ways', async ({ name, impairments, bytes }) => {
    using joined = await stage.join({ impairments, seed: name });
    const received = await down(joined, bytes);
    const sent = await up(joined, bytes);
    expect([received, sent]).toMatchObject([stream(2, bytes), stream(1, bytes)]);
    note(name, received, sent);
    // It was as bad as it says: a proxy that does nothing would pass everything else.
    const { lost, duplicated, reordered, corrupted } = joined.proxy!.counters('toTarget');
    expect({
      loss: lost > 0,
      duplicate: duplicated > 0,
      reorder: reordered > 0,
      corrupt: corrupted > 0,
    }).toEqual({
      loss: (impairments.loss ?? 0) > 0,
      duplicate: (impairments.duplicate ?? 0) > 0,
      reorder: (impairments.reorder ?? 0) > 0,
      corrupt: (impairments.corrupt ?? 0) > 0,
    });
  });

  /** Until one is good, five times at most: other work on the machine only ever makes a run slower. */
  async function untilGood(isGood: (result: TcpResult) => boolean, run: () => Promise<TcpResult>): Promise<TcpResult> {
    let result = await run();
    for (let more = 4; more > 0 && !isGood(result); more -= 1) result = await run();
    return result;
  }

  // 6 Mbit/s is about what any sender of Reno's fairness reaches there, and a machine with other work adds to the delay:
  // libs/tcp keeps that bar in virtual time; here, beside other tests, half of it must be left.
  const barAtOnePercent = isLongRun ? 6 : 3;

  it(`loss 1 %, delay 20 ms: at least ${barAtOnePercent} Mbit/s up, and no timeout is waited for`, async () => {
    using joined = await stage.join({ impairments: { loss: 0.01, delayMs: 10 }, seed: 'bar' });
    const bytes = 3 * MB;
    // RACK and the tail probe find a loss within a round trip or two; the retransmission timer never runs below 200 ms.
    const isGood = (sent: TcpResult): boolean => mbit(sent) >= barAtOnePercent && sent.longestGapMs < 200;
    // What the kernel sends is its own congestion control's business.
    const sent = await untilGood(isGood, async () => {
      const result = await up(joined, bytes);
      expect(result).toMatchObject(stream(1, bytes));
      note('loss 1 %, delay 20 ms', result);
      return result;
    });
    expect(sent.longestGapMs).toBeLessThan(200);
    expect(mbit(sent)).toBeGreaterThanOrEqual(barAtOnePercent);
  });

  it('delay 20 ms: at least 100 Mbit/s down', async () => {
    using joined = await stage.join({ impairments: { delayMs: 10 } });
    const bytes = (isLongRun ? 50 : 20) * MB;
    const received = await untilGood(
      (result) => mbit(result) >= 100,
      async () => {
        const result = await down(joined, bytes);
        expect(result).toMatchObject(stream(2, bytes));
        note('delay 20 ms', result);
        return result;
      },
    );
    expect(mbit(received)).toBeGreaterThanOrEqual(100);
  });

  it('survive a new source port in mid-stream, with a gap of at most a second', async () => {
    using joined = await stage.join({ impairments: { rate: 80_000_000 } });
    const bytes = 10 * MB;
    const listener = await stage.kernel.listen({ do: 'exchange', bytes, seed: 2 });
    const socket = await joined.ours.connect(kernelInner.v4, listener.port);
    const port = socket.localPort;
    const [before] = joined.proxy!.sourcePorts();
    let received = 0;
    let moved: Promise<void> | undefined;
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length;
      if (received > 3 * MB) moved ??= joined.proxy!.rebind();
    });
    const ours = await performTask(socket, { do: 'exchange', bytes, seed: 1 });
    await moved;
    expect([ours, await listener.result(port)]).toMatchObject([stream(2, bytes), stream(1, bytes)]);
    expect(ours.longestGapMs).toBeLessThanOrEqual(1_000);
    const [after] = joined.proxy!.sourcePorts();
    expect(after).not.toBe(before);
    const peers = await stage.foreign.peers();
    expect(peers.map((peer) => peer.endpoint)).toContainEqual(expect.stringContaining(`:${after}`));
  });

  it('find their way through a path that swallows large packets without a word', async () => {
    using joined = await stage.join({ impairments: {} });
    // 1,420 inside makes 1,452 outside.
    joined.proxy!.impair({ mtu: 1_300 }, 'toTarget');
    const sent = await up(joined, 1 * MB);
    expect(sent).toMatchObject(stream(1, 1 * MB));
    expect(joined.proxy!.counters('toTarget').tooLarge).toBeGreaterThan(0);
  });

  it.each([1_280, 1_420, 1_500])(
    'lose nothing where packets above %i bytes are swallowed, with the MTU made for it',
    async (mtu) => {
      // Less 60 for IPv4, UDP and WireGuard, and down to a multiple of 16, to which WireGuard pads. Below 1,280 IPv4 alone.
      const inside = (mtu - 60) & ~15;
      using joined = await stage.join({ impairments: { mtu: mtu - 28 }, mtu: inside, isIpv4Only: inside < 1_280 });
      const sent = await up(joined, 2 * MB);
      const received = await down(joined, 2 * MB);
      expect([received, sent]).toMatchObject([stream(2, 2 * MB), stream(1, 2 * MB)]);
      expect(joined.proxy!.counters('toTarget').tooLarge).toBe(0);
      expect(joined.proxy!.counters('toClient').tooLarge).toBe(0);
    },
  );
});

/** No root, no foreign tools: the same cores at both ends, so that every machine sees them on a bad path. */
describe('two of ours on a bad path', () => {
  /** Both ends send and receive `bytes` over a path between loopback addresses. */
  async function exchange(seed: string, impairments: Partial<Impairments>, bytes: number, onPath: OnPath = () => {}) {
    using left = await CoreEndpoint.open({ host: '127.0.0.1', addresses: ['10.79.0.1', 'fd79::1'] });
    using right = await CoreEndpoint.open({ host: '127.0.0.1', addresses: ['10.79.0.2', 'fd79::2'] });
    const target = { host: '127.0.0.1', port: right.port };
    using proxy = await ImpairmentProxy.start({ target, seed, impairments });
    const presharedKey = randomBytes(32);
    right.addPeer({ publicKey: left.device.publicKey, presharedKey, allowedIps: ['10.79.0.1/32', 'fd79::1/128'] });
    left.addPeer({
      publicKey: right.device.publicKey,
      presharedKey,
      allowedIps: ['10.79.0.2/32', 'fd79::2/128'],
      endpoint: { carrier: 'udp', address: proxy.host, port: proxy.port },
    });
    const served = Promise.withResolvers<TcpResult>();
    const port = right.listen(
      (socket) => void performTask(socket, { do: 'exchange', bytes, seed: 2 }).then(served.resolve, served.reject),
    );
    const socket = await left.connect('fd79::2', port);
    onPath(socket, proxy);
    const results = await Promise.all([performTask(socket, { do: 'exchange', bytes, seed: 1 }), served.promise]);
    note(seed, ...results);
    expect(results).toMatchObject([stream(2, bytes), stream(1, bytes)]);
    return { results, events: [...left.events, ...right.events] };
  }

  it.each(paths)('$name: everything arrives, both ways at once', async ({ name, impairments, bytes }) => {
    await exchange(name, impairments, bytes);
  });

  it('survive a new source port in mid-stream, with a gap of at most a second', async () => {
    let moved: Promise<void> | undefined;
    const { results, events } = await exchange('rebind', { rate: 80_000_000 }, 4 * MB, (socket, proxy) => {
      let received = 0;
      socket.on('data', (chunk: Buffer) => {
        received += chunk.length;
        if (received > MB) moved ??= proxy.rebind();
      });
    });
    await moved;
    expect(moved).toBeDefined();
    expect(events.filter((event) => event.kind === 'roamed')).toHaveLength(1);
    for (const result of results) expect(result.longestGapMs).toBeLessThanOrEqual(1_000);
  });
});

type OnPath = (socket: CoreSocket, proxy: ImpairmentProxy) => void;
