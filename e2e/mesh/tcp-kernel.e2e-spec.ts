import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { currentWireGuardGo } from './support/current-wireguard-go.js';
import { performTask, sha256OfStream, type TcpResult, type TcpTask } from './support/kernel-peer.js';
import { kernelInner, KernelStage, type Family, type Joined } from './support/kernel-stage.js';
import { describeInterop, isLongRun } from './support/requirements.js';

const MB = 1_000_000;

/** What must have arrived when the other end sent this. */
const stream = (seed: number, bytes: number): Partial<TcpResult> => ({
  received: bytes,
  sha256: sha256OfStream(seed, bytes),
  end: 'fin',
});

describeInterop('our TCP and the kernel’s', () => {
  let stage: KernelStage;
  beforeAll(async () => {
    stage = await KernelStage.start();
  });
  afterAll(() => stage?.stop());

  /** We connect; both ends do their task. Ours first in the result. */
  async function dialKernel(joined: Joined, ours: TcpTask, kernel: TcpTask, family: Family = 'v4') {
    const listener = await stage.kernel.listen(kernel);
    const socket = await joined.ours.connect(kernelInner[family], listener.port);
    const port = socket.localPort;
    const result = await performTask(socket, ours);
    return [result, await listener.result(port)] as const;
  }

  /** The kernel connects. */
  async function kernelDials(joined: Joined, ours: TcpTask, kernel: TcpTask, family: Family = 'v4') {
    const served = Promise.withResolvers<TcpResult>();
    const port = joined.ours.listen((socket) => void performTask(socket, ours).then(served.resolve, served.reject));
    // wireguard-go learns from our first packet where we are.
    expect(await joined.ours.ping(kernelInner[family])).toBeDefined();
    const result = await stage.kernel.connect(joined.inner[family], port, kernel);
    return [await served.promise, result] as const;
  }

  describe.each([
    ['v4', 'v4', 50],
    ['v6', 'v6', 50],
    ['v4', 'v6', isLongRun ? 50 : 5],
    ['v6', 'v4', isLongRun ? 50 : 5],
  ] as const)('IP%s outside, IP%s inside', (outer, inner, megabytes) => {
    const bytes = megabytes * MB;

    it(`carry ${megabytes} MB both ways at once, whoever connects`, async () => {
      using joined = await stage.join({ outer });
      const ours: TcpTask = { do: 'exchange', bytes, seed: 1 };
      const kernel: TcpTask = { do: 'exchange', bytes, seed: 2 };
      const [here, there] = await dialKernel(joined, ours, kernel, inner);
      expect(there).toMatchObject(stream(1, bytes));
      expect(here).toMatchObject(stream(2, bytes));
      const small = 2 * MB;
      const [served, dialled] = await kernelDials(
        joined,
        { ...ours, bytes: small },
        { ...kernel, bytes: small },
        inner,
      );
      expect(dialled).toMatchObject(stream(1, small));
      expect(served).toMatchObject(stream(2, small));
    });

    it('echo: ours pings the kernel, the kernel pings us', async () => {
      using joined = await stage.join({ outer });
      expect(await joined.ours.ping(kernelInner[inner])).toBeLessThan(5_000);
      await stage.namespace.run('ping', ['-c', '3', '-i', '0.2', '-W', '5', '-s', '1200', joined.inner[inner]]);
    });
  });

  it('hold 200 connections at once, each with its own bytes', async () => {
    using joined = await stage.join();
    const listener = await stage.kernel.listen({ do: 'echo' });
    await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        const bytes = 1 + ((i * 7_919) % 100_000);
        const socket = await joined.ours.connect(kernelInner[i % 2 ? 'v4' : 'v6'], listener.port);
        const port = socket.localPort;
        const mine = await performTask(socket, { do: 'exchange', bytes, seed: i });
        expect(mine).toMatchObject(stream(i, bytes));
        expect(await listener.result(port)).toMatchObject(stream(i, bytes));
      }),
    );
    expect(joined.ours.stack.counters().connections).toBe(0);
  });

  it('hold 200 that the kernel opens at once', async () => {
    using joined = await stage.join();
    expect(await joined.ours.ping(kernelInner.v4)).toBeDefined();
    const port = joined.ours.listen((socket) => void performTask(socket, { do: 'echo' }));
    const results = await Promise.all(
      Array.from({ length: 200 }, (_, i) =>
        stage.kernel.connect(joined.inner.v4, port, { do: 'exchange', bytes: 10_000 + i, seed: i }),
      ),
    );
    for (const [i, result] of results.entries()) expect(result).toMatchObject(stream(i, 10_000 + i));
  });

  it('wait for a slow reader: the kernel’s, and ask it when its word that the window is open is lost', async () => {
    await using narrow = await KernelStage.start();
    // Else its buffer grows to many megabytes and no window ever closes.
    await narrow.namespace.run('sh', ['-c', 'echo 4096 65536 131072 > /proc/sys/net/ipv4/tcp_rmem']);
    using joined = await narrow.join({ impairments: {} });
    const bytes = 250_000;
    const listener = await narrow.kernel.listen({ do: 'receive', restAfter: 60_000, restMs: 800 });
    const socket = await joined.ours.connect(kernelInner.v4, listener.port);
    const port = socket.localPort;
    const waitingInKernel = async (): Promise<number> => {
      const [, bytesWaiting = '0'] = /^ESTAB +(\d+)/m.exec(await narrow.namespace.run('ss', ['-tnH'])) ?? [];
      return Number(bytesWaiting);
    };
    const sent = performTask(socket, { do: 'send', bytes, seed: 3 });
    // The kernel holds all that it takes, has said so, and we are silent.
    let last = -1;
    const isQuiet = (): boolean => {
      const { offered } = joined.proxy!.counters('toTarget');
      const isStill = offered === last;
      last = offered;
      return isStill;
    };
    await expect.poll(waitingInKernel, { interval: 10 }).toBeGreaterThan(40_000);
    await expect.poll(isQuiet, { interval: 60 }).toBe(true);
    joined.proxy!.impair({ loss: 1 }, 'toClient');
    await expect.poll(waitingInKernel, { interval: 10, timeout: 5_000 }).toBe(0);
    expect(joined.proxy!.counters('toClient').lost).toBeGreaterThan(0);
    joined.proxy!.impair({ loss: 0 }, 'toClient');
    await sent;
    expect(await listener.result(port)).toMatchObject(stream(3, bytes));
  });

  it('wait for a slow reader: ours, whose window closes and opens again', async () => {
    using joined = await stage.join({ tcp: { initialReceiveBuffer: 65_536, maxReceiveBuffer: 131_072 } });
    const bytes = 2 * MB;
    const listener = await stage.kernel.listen({ do: 'send', bytes, seed: 4 });
    const socket = await joined.ours.connect(kernelInner.v4, listener.port);
    const { connection } = socket;
    // Nobody reads: the kernel fills the window and probes it, less and less often.
    const nextProbeMs = async (): Promise<number> => {
      const [, time = '0', unit] = /persist,([\d.]+)(ms|sec)/.exec(await stage.namespace.run('ss', ['-tno'])) ?? [];
      return Number(time) * (unit === 'sec' ? 1_000 : 1);
    };
    await expect.poll(nextProbeMs, { timeout: 10_000, interval: 10 }).toBeGreaterThan(700);
    expect(connection.unread).toBeGreaterThan(60_000);
    expect(connection.unread).toBeLessThanOrEqual(131_072);
    // We read: it is told so, and need not find out by that probe.
    const result = await performTask(socket, { do: 'receive', restAfter: 200_000, restMs: 20 });
    expect(result).toMatchObject(stream(4, bytes));
    expect(result.longestGapMs).toBeLessThan(500);
  });

  it('carry tiny writes, slow writes and one huge write', async () => {
    using joined = await stage.join();
    const [, tiny] = await dialKernel(joined, { do: 'send', bytes: 20_000, chunk: 1, seed: 5 }, { do: 'receive' });
    expect(tiny).toMatchObject(stream(5, 20_000));
    const slow: TcpTask = { do: 'exchange', bytes: 20_000, chunk: 1_000, restAfter: 2_000, restMs: 15, seed: 6 };
    const [here, there] = await dialKernel(joined, slow, { ...slow, seed: 7 });
    expect([here, there]).toMatchObject([stream(7, 20_000), stream(6, 20_000)]);
    const huge = 16 * MB;
    const [, all] = await dialKernel(joined, { do: 'send', bytes: huge, chunk: huge, seed: 8 }, { do: 'receive' });
    expect(all).toMatchObject(stream(8, huge));
  });

  it('finish one direction and go on in the other', async () => {
    using joined = await stage.join();
    const bytes = 300_000;
    const speak: TcpTask = { do: 'send', bytes: 1_000, seed: 9 };
    const answer: TcpTask = { do: 'answer', bytes, seed: 10 };
    expect(await dialKernel(joined, speak, answer)).toMatchObject([stream(10, bytes), stream(9, 1_000)]);
    expect(await dialKernel(joined, answer, speak)).toMatchObject([stream(9, 1_000), stream(10, bytes)]);
    expect(await kernelDials(joined, answer, speak)).toMatchObject([stream(9, 1_000), stream(10, bytes)]);
  });

  it('hear a reset from either side', async () => {
    using joined = await stage.join();
    const much: TcpTask = { do: 'exchange', bytes: 5 * MB, seed: 11 };
    const cut: TcpTask = { do: 'reset', bytes: 100_000 };
    const [ours] = await dialKernel(joined, much, cut);
    expect(ours).toMatchObject({ end: 'reset', error: 'tcp_reset' });
    const [, kernel] = await dialKernel(joined, cut, much);
    expect(kernel).toMatchObject({ end: 'reset', error: 'ECONNRESET' });
  });

  it('hear a refusal where nobody listens', async () => {
    using joined = await stage.join();
    await expect(joined.ours.connect(kernelInner.v4, 9)).rejects.toMatchObject({ reason: 'tcp_refused' });
    await expect(joined.ours.connect(kernelInner.v6, 9)).rejects.toMatchObject({ reason: 'tcp_refused' });
    expect(await stage.kernel.connect(joined.inner.v4, 9, { do: 'receive' })).toMatchObject({ error: 'ECONNREFUSED' });
  });

  it('carry UDP, and hear that nobody listens', async () => {
    using joined = await stage.join();
    const port = await stage.kernel.udpEcho();
    for (const address of [kernelInner.v4, kernelInner.v6]) {
      const echo = Promise.withResolvers<string>();
      const unreachable = Promise.withResolvers<void>();
      const udp = joined.ours.stack.bindUdp(0, {
        datagram: (payload) => echo.resolve(payload.toString()),
        unreachable: () => unreachable.resolve(),
      });
      udp.send(Buffer.from('through the tunnel'), { address, port });
      joined.ours.turn();
      expect(await echo.promise).toBe('through the tunnel');
      udp.send(Buffer.from('nobody'), { address, port: 9 });
      joined.ours.turn();
      await unreachable.promise;
    }
  });

  it('end at once when the foreign peer takes our key away, and not before', async () => {
    using joined = await stage.join({ tcp: { giveUpMs: 1_500 } });
    const listener = await stage.kernel.listen({ do: 'echo' });
    const socket = await joined.ours.connect(kernelInner.v4, listener.port);
    socket.write('still here');
    expect(String((await once(socket, 'data'))[0])).toBe('still here');
    await stage.foreign.removePeer(joined.ours.device.publicKey);
    socket.write('not any more');
    const [error] = (await once(socket, 'error')) as [{ reason?: string }];
    expect(error.reason).toBe('tcp_timed_out');
  });

  // Built from its sources: in the long run only.
  it.each(isLongRun ? [50] : [])(
    'carry %i MB through a current wireguard-go, and whatever it bundles',
    async (megabytes) => {
      const built = currentWireGuardGo();
      if (typeof built === 'string') throw new Error(built);
      const other = await KernelStage.start(built.binary);
      using joined = await other.join();
      const bytes = megabytes * MB;
      const listener = await other.kernel.listen({ do: 'exchange', bytes, seed: 2 });
      const socket = await joined.ours.connect(kernelInner.v6, listener.port);
      const port = socket.localPort;
      const here = await performTask(socket, { do: 'exchange', bytes, seed: 1 });
      expect([here, await listener.result(port)]).toMatchObject([stream(2, bytes), stream(1, bytes)]);
      await other.stop();
    },
  );
});
