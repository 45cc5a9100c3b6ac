// gRPC on the kernel's TCP: a program of its own in a network namespace, like kernel-peer.ts. Messages are bare bytes.
import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';
import grpc from '@grpc/grpc-js';
import type { Client, ServerDuplexStream } from '@grpc/grpc-js';

export const streamPath = '/coral.test.Bytes/Stream';

export interface StreamResult {
  messages: number;
  bytes: number;
  sha256: string;
  status: number;
}

const asIs = (bytes: Buffer): Buffer => bytes;

const bytesService = {
  stream: {
    path: streamPath,
    requestStream: true,
    responseStream: true,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  },
} as const;

/** Sends every message back, and ends when the client does. */
export function newEchoServer(): grpc.Server {
  const server = new grpc.Server();
  server.addService(bytesService, {
    stream: (call: ServerDuplexStream<Buffer, Buffer>) => {
      call.on('data', (message: Buffer) => {
        if (call.write(message)) return;
        call.pause();
        call.once('drain', () => call.resume());
      });
      call.on('end', () => call.end());
    },
  });
  return server;
}

/** The n-th of many messages: sizes from 0 to 20,000 bytes. */
export function message(n: number): Buffer {
  return Buffer.alloc((n * 7_919) % 20_001, n & 255);
}

/** Of all the messages one after the other. */
export function sha256OfMessages(count: number): string {
  const hash = createHash('sha256');
  for (let n = 0; n < count; n += 1) hash.update(message(n));
  return hash.digest('hex');
}

/** Streams so many messages to an echo and back. */
export function streamMessages(client: Client, count: number): Promise<StreamResult> {
  const call = client.makeBidiStreamRequest<Buffer, Buffer>(streamPath, asIs, asIs);
  const hash = createHash('sha256');
  const result: StreamResult = { messages: 0, bytes: 0, sha256: '', status: -1 };
  call.on('data', (bytes: Buffer) => {
    result.messages += 1;
    result.bytes += bytes.length;
    hash.update(bytes);
  });
  let next = 0;
  const sendOn = (): void => {
    while (next < count) {
      const hasRoom = call.write(message(next));
      next += 1;
      if (!hasRoom) {
        call.once('drain', sendOn);
        return;
      }
    }
    call.end();
  };
  sendOn();
  return new Promise((resolve) => {
    const end = (status: number): void => resolve({ ...result, sha256: hash.digest('hex'), status });
    call.on('error', (error: { code?: number }) => end(error.code ?? -1));
    call.on('status', (status) => {
      if (status.code === 0) end(0);
    });
  });
}

type Order = { serve: true } | { target: string; count: number };

function obey(order: Order): void {
  const tell = (report: object): void => console.log(JSON.stringify(report));
  if ('serve' in order)
    newEchoServer().bindAsync('[::]:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
      if (error) throw error;
      tell({ port });
    });
  else {
    const client = new grpc.Client(order.target, grpc.credentials.createInsecure());
    void streamMessages(client, order.count).then((result) => {
      client.close();
      tell(result);
    });
  }
}

if (import.meta.main) {
  const orders = createInterface({ input: process.stdin });
  orders.on('line', (line) => obey(JSON.parse(line) as Order));
  orders.on('close', () => process.exit(0));
}
