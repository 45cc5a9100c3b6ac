import { once } from 'node:events';
import { connect, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { ServerCredentials } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { message, newEchoServer, sha256OfMessages, streamPath, type StreamResult } from './support/kernel-grpc.js';
import { kernelInner, KernelStage, type JoinOptions } from './support/kernel-stage.js';
import { describeInterop } from './support/requirements.js';

const program = fileURLToPath(new URL('support/kernel-grpc.ts', import.meta.url));

/** Messages of about 10 KB each. */
const messages = 500;

const bad: JoinOptions = { impairments: { loss: 0.005, reorder: 0.02, delayMs: 2 }, seed: 'grpc' };

describeInterop('gRPC streams between our TCP and the kernel’s', () => {
  let stage: KernelStage;
  beforeAll(async () => {
    stage = await KernelStage.start();
  });
  afterAll(() => stage?.stop());

  /** Gives an order to gRPC in the namespace; the process ends with the returned `end`. */
  async function order<T>(text: object): Promise<{ report: T; end: () => void }> {
    const child = stage.namespace.spawn(process.execPath, ['--no-warnings', program]);
    child.stderr.pipe(process.stderr);
    child.stdin.write(`${JSON.stringify(text)}\n`);
    const [line] = await once(createInterface({ input: child.stdout }), 'line');
    return { report: JSON.parse(String(line)) as T, end: () => child.stdin.end() };
  }

  const whole = { messages, sha256: sha256OfMessages(messages), status: 0 };

  it.each([
    ['a clean path', {}],
    ['a bad path', bad],
  ])('our client streams to the kernel’s server and back over %s', async (_, path) => {
    using joined = await stage.join(path);
    const { report, end } = await order<{ port: number }>({ serve: true });
    const socket = await joined.ours.connect(kernelInner.v6, report.port);
    const session = connect(`http://[${kernelInner.v6}]:${report.port}`, { createConnection: () => socket });
    expect(await streamOver(session)).toMatchObject(whole);
    session.close();
    end();
  });

  it.each([
    ['a clean path', {}],
    ['a bad path', bad],
  ])('the kernel’s client streams to our server and back over %s', async (_, path) => {
    using joined = await stage.join(path);
    const server = newEchoServer();
    const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
    const port = joined.ours.listen((socket) => injector.injectConnection(socket));
    expect(await joined.ours.ping(kernelInner.v4)).toBeDefined();
    const { report, end } = await order<StreamResult>({ target: `${joined.inner.v4}:${port}`, count: messages });
    expect(report).toMatchObject(whole);
    end();
    injector.destroy();
    server.forceShutdown();
  });
});

/** A gRPC client of a few lines: five bytes before each message, status in the trailers. */
async function streamOver(session: ClientHttp2Session): Promise<StreamResult> {
  const call = session.request({
    ':method': 'POST',
    ':path': streamPath,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  const trailers = once(call, 'trailers');
  const sent = sendAll(call);
  const hash = createHash('sha256');
  let result: StreamResult = { messages: 0, bytes: 0, sha256: '', status: -1 };
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of call) {
    rest = Buffer.concat([rest, chunk as Buffer]);
    while (rest.length >= 5 && rest.length >= 5 + rest.readUInt32BE(1)) {
      const payload = rest.subarray(5, 5 + rest.readUInt32BE(1));
      rest = rest.subarray(5 + payload.length);
      hash.update(payload);
      result = { ...result, messages: result.messages + 1, bytes: result.bytes + payload.length };
    }
  }
  await sent;
  const [{ 'grpc-status': status }] = (await trailers) as [{ 'grpc-status'?: string }];
  return { ...result, sha256: hash.digest('hex'), status: Number(status) };
}

async function sendAll(call: ClientHttp2Stream): Promise<void> {
  for (let n = 0; n < messages; n += 1) {
    const payload = message(n);
    const head = Buffer.alloc(5);
    head.writeUInt32BE(payload.length, 1);
    if (!call.write(Buffer.concat([head, payload]))) await once(call, 'drain');
  }
  call.end();
}
