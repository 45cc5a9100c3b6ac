import { once } from 'node:events';
import { constants, createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { credentials } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { callServerStream, callUnary, colonyV1, errorTrailerKey, grpcClientOptions } from './index.js';

/** Servers that do what no server of ours would. */
describe('a call', () => {
  let server: Http2Server;
  let target: string;
  let answer: (stream: ServerHttp2Stream) => void;
  const clients: { close(): void }[] = [];
  beforeEach(async () => {
    server = createServer();
    server.on('stream', (stream) => {
      stream.on('error', () => stream.destroy());
      answer(stream);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    target = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    server.close();
    await once(server, 'close');
  });

  const keep = <T extends { close(): void }>(client: T): T => {
    clients.push(client);
    return client;
  };
  const unary = async (signal?: AbortSignal): Promise<unknown> => {
    const client = keep(new colonyV1.ColonyServiceClient(target, credentials.createInsecure(), grpcClientOptions));
    return await callUnary(client, client.describeColony, {}, { far: 'agent', ...(signal && { signal }) });
  };
  const stream = async (): Promise<void> => {
    const client = keep(new colonyV1.McpServiceClient(target, credentials.createInsecure(), grpcClientOptions));
    for await (const _ of callServerStream(client, client.exchange, { json: Buffer.alloc(0) }));
  };

  it('that the far end resets was not cancelled by us', async () => {
    answer = (reset) => reset.close(constants.NGHTTP2_CANCEL);
    await expect(unary()).rejects.toMatchObject({ kind: 'unavailable', reason: 'agent_unreachable' });
    await expect(stream()).rejects.toMatchObject({ kind: 'unavailable', reason: 'colony_unreachable' });
  });

  it('that we abort was cancelled by us', async () => {
    const controller = new AbortController();
    answer = () => controller.abort();
    await expect(unary(controller.signal)).rejects.toMatchObject({ kind: 'cancelled', reason: 'cancelled' });
  });

  it('that the far end says was cancelled, was', async () => {
    const details = Buffer.from(JSON.stringify({ kind: 'cancelled', reason: 'cancelled', message: 'The user left.' }));
    answer = (respond) =>
      respond.respond(
        {
          ':status': 200,
          'content-type': 'application/grpc+proto',
          'grpc-status': '1',
          [errorTrailerKey]: details.toString('base64'),
        },
        { endStream: true },
      );
    await expect(unary()).rejects.toMatchObject({ kind: 'cancelled', message: 'The user left.' });
  });

  it.each([
    [404, 'failed_precondition', 'not_supported'],
    [503, 'unavailable', 'agent_unreachable'],
  ])('that meets a web server or a proxy (%i) ends with an error of ours', async (status, kind, reason) => {
    answer = (page) => {
      page.respond({ ':status': status, 'content-type': 'text/html' });
      page.end('<h1>no</h1>');
    };
    await expect(unary()).rejects.toMatchObject({ kind, reason });
  });
});
