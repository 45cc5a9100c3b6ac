// The kernel's side of a test: a program of its own (Node runs it from source), started in a network namespace. Orders come as
// JSON lines on its standard input, results leave as JSON lines on standard output; it ends when its input does.
import { createCipheriv, createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';

/** What one end of a TCP connection does. The other end does what fits. */
export interface TcpTask {
  /** `exchange` sends and receives at the same time; `echo` sends back what comes; `reset` sends RST after `bytes` have come. */
  do: 'send' | 'receive' | 'exchange' | 'answer' | 'echo' | 'reset';
  /** How much it sends (`send`, `exchange`, `answer`). */
  bytes?: number;
  /** Of the bytes it sends. */
  seed?: number;
  /** Bytes in one write; 65,536 by default. */
  chunk?: number;
  /** Reads (or, when it sends, writes) so many bytes, then rests for `restMs`. */
  restAfter?: number;
  restMs?: number;
}

export interface TcpResult {
  received: number;
  /** Of all that was received. */
  sha256: string;
  /** How the other end ended: FIN, RST, or not at all. */
  end: 'fin' | 'reset' | 'none';
  error?: string;
  /** Milliseconds from the first byte received to the last, and the longest silence between. */
  receiveMs: number;
  longestGapMs: number;
}

export type KernelOrder =
  | { id: number; order: 'listen'; task: TcpTask }
  | { id: number; order: 'connect'; host: string; port: number; task: TcpTask }
  | { id: number; order: 'udp-echo' };

export type KernelReport =
  | { id: number; port: number }
  | { id: number; result: TcpResult; remotePort: number }
  | { id: number; failed: string };

/** The bytes of a seed, the same at both ends, as fast as AES: a key stream. */
export function byteStream(seed: number, total: number, chunk = 65_536): Iterable<Buffer> {
  return {
    *[Symbol.iterator]() {
      const key = Buffer.alloc(16);
      key.writeUInt32BE(seed);
      const cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
      const zeros = Buffer.alloc(Math.min(chunk, total));
      for (let left = total; left > 0; left -= chunk) yield cipher.update(zeros.subarray(0, Math.min(chunk, left)));
    },
  };
}

export function sha256OfStream(seed: number, total: number): string {
  const hash = createHash('sha256');
  for (const chunk of byteStream(seed, total)) hash.update(chunk);
  return hash.digest('hex');
}

/** A kernel's socket, or ours. */
type TcpSocket = Duplex & { resetAndDestroy(): void };

const rest = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function send(socket: TcpSocket, task: TcpTask): Promise<void> {
  let sinceRest = 0;
  const closed = new Promise<void>((resolve) => socket.once('close', resolve));
  for (const chunk of byteStream(task.seed ?? 0, task.bytes ?? 0, task.chunk)) {
    if (socket.destroyed) return;
    if (!socket.write(chunk))
      await Promise.race([closed, new Promise<void>((resolve) => socket.once('drain', resolve))]);
    sinceRest += chunk.length;
    if (task.restAfter && sinceRest >= task.restAfter) {
      sinceRest = 0;
      await rest(task.restMs ?? 0);
    }
  }
  socket.end();
}

/** Reads to the end of the stream; `each` sees every chunk. */
function receive(
  socket: TcpSocket,
  task: TcpTask,
  each: (chunk: Buffer) => void = () => undefined,
): Promise<TcpResult> {
  return new Promise((resolve) => {
    const hash = createHash('sha256');
    let received = 0;
    let sinceRest = 0;
    let first = 0;
    let last = 0;
    let longestGapMs = 0;
    let end: TcpResult['end'] = 'none';
    let error: string | undefined;
    socket.on('data', (chunk: Buffer) => {
      const now = performance.now();
      first ||= now;
      longestGapMs = Math.max(longestGapMs, now - (last || now));
      last = now;
      hash.update(chunk);
      received += chunk.length;
      sinceRest += chunk.length;
      each(chunk);
      if (task.restAfter && task.do !== 'send' && sinceRest >= task.restAfter) {
        sinceRest = 0;
        socket.pause();
        setTimeout(() => socket.resume(), task.restMs);
      }
    });
    socket.on('end', () => {
      end = 'fin';
    });
    socket.on('error', (cause: NodeJS.ErrnoException & { reason?: string }) => {
      error = cause.code ?? cause.reason ?? cause.message;
      if (cause.code === 'ECONNRESET' || cause.reason === 'tcp_reset') end = 'reset';
    });
    socket.on('close', () => {
      const result: TcpResult = { received, sha256: hash.digest('hex'), end, receiveMs: last - first, longestGapMs };
      resolve(error === undefined ? result : { ...result, error });
    });
  });
}

/** Does the task on a connection until it is closed both ways. The socket must be open with `allowHalfOpen`. */
export async function performTask(socket: TcpSocket, task: TcpTask): Promise<TcpResult> {
  switch (task.do) {
    case 'send': {
      const result = receive(socket, task);
      await send(socket, task);
      return result;
    }
    case 'exchange': {
      const result = receive(socket, task);
      await send(socket, { ...task, do: 'send' });
      return result;
    }
    case 'answer': {
      // Speaks only when the other end has finished: it needs the half-closed connection.
      socket.once('end', () => void send(socket, task));
      return receive(socket, task);
    }
    case 'receive': {
      socket.once('end', () => socket.end());
      return receive(socket, task);
    }
    case 'echo': {
      socket.once('end', () => socket.end());
      return receive(socket, task, (chunk) => {
        if (socket.write(chunk)) return;
        socket.pause();
        socket.once('drain', () => socket.resume());
      });
    }
    case 'reset': {
      let left = task.bytes ?? 0;
      return receive(socket, task, (chunk) => {
        left -= chunk.length;
        if (left <= 0) socket.resetAndDestroy();
      });
    }
  }
}

function tell(report: KernelReport): void {
  process.stdout.write(`${JSON.stringify(report)}\n`);
}

function obey(order: KernelOrder): void {
  const { id } = order;
  const fail = (error: Error): void => tell({ id, failed: error.message });
  if (order.order === 'udp-echo') {
    const socket = createSocket('udp6');
    socket.on('error', fail);
    socket.on('message', (datagram, from) => socket.send(datagram, from.port, from.address));
    socket.bind(0, '::', () => tell({ id, port: socket.address().port }));
  } else if (order.order === 'listen') {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      const remotePort = socket.remotePort ?? 0;
      socket.setNoDelay(true);
      performTask(socket, order.task).then((result) => tell({ id, result, remotePort }), fail);
    });
    server.on('error', fail);
    server.listen({ host: '::', port: 0, backlog: 1_024 }, () => {
      const address = server.address();
      if (address && typeof address === 'object') tell({ id, port: address.port });
    });
  } else {
    const socket = connect({ host: order.host, port: order.port, allowHalfOpen: true });
    socket.setNoDelay(true);
    performTask(socket, order.task).then((result) => tell({ id, result, remotePort: order.port }), fail);
  }
}

// Not where another program has this file bundled into it.
if (import.meta.main && import.meta.filename.endsWith('kernel-peer.ts')) {
  const orders = createInterface({ input: process.stdin });
  orders.on('line', (line) => obey(JSON.parse(line) as KernelOrder));
  orders.on('close', () => process.exit(0));
}
