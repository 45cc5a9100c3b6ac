import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../until.js';
import { isTls, openTls13, readKeyLog } from './tls13.js';

/** One connection that the program opened, as it was meant: what went each way, outside of TLS. */
export interface Overheard {
  /** host:port */
  to: string;
  sent: Buffer;
  received: Buffer;
}

interface Recording {
  to: string;
  sent: Buffer[];
  received: Buffer[];
}

/** Stands between a program and every TCP connection it opens, and hears what is said in it, also inside TLS. */
export class Wiretap implements AsyncDisposable {
  readonly #folder: string;
  readonly #server: Server;
  readonly #recordings: Recording[] = [];
  readonly #open = new Set<Socket>();
  /** Why a connection could not be passed on. */
  readonly #troubles: Error[] = [];

  private constructor(folder: string, server: Server) {
    this.#folder = folder;
    this.#server = server;
    server.on('connection', (near: Socket) => {
      this.#pass(near).catch((thrown: unknown) => {
        this.#troubles.push(thrown as Error);
        near.destroy();
      });
    });
  }

  static async open(): Promise<Wiretap> {
    const folder = await mkdtemp(join(tmpdir(), 'coral-wiretap-'));
    await writeFile(join(folder, 'targets'), '');
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Wiretap(folder, server);
  }

  /** What to add to the environment of the program to listen to. */
  get environment(): NodeJS.ProcessEnv {
    const program = join(import.meta.dirname, 'redirect.cjs');
    return {
      NODE_OPTIONS: `--require=${program} --tls-keylog=${this.#keyLog}`,
      WIRETAP_PORT: String((this.#server.address() as AddressInfo).port),
      WIRETAP_LOG: this.#targets,
    };
  }

  /** All that was said so far. */
  async heard(): Promise<Overheard[]> {
    if (this.#troubles.length > 0) throw new AggregateError(this.#troubles, 'some connections were not overheard');
    const log = readKeyLog(await readFile(this.#keyLog, 'utf8').catch(() => ''));
    return this.#recordings.map(({ to, ...directions }) => {
      const [sent, received] = [Buffer.concat(directions.sent), Buffer.concat(directions.received)];
      return { to, ...(isTls(sent) ? openTls13(sent, received, log) : { sent, received }) };
    });
  }

  get #keyLog(): string {
    return join(this.#folder, 'keys');
  }
  get #targets(): string {
    return join(this.#folder, 'targets');
  }

  async #pass(near: Socket): Promise<void> {
    this.#open.add(near);
    near.on('error', () => near.destroy());
    const { host, port } = await this.#targetOf(near.remotePort as number);
    const recording: Recording = { to: `${host}:${port}`, sent: [], received: [] };
    this.#recordings.push(recording);
    const far = connect({ host, port, allowHalfOpen: true });
    this.#open.add(far);
    far.on('error', () => near.destroy());
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
    near.on('data', (chunk: Buffer) => recording.sent.push(chunk));
    far.on('data', (chunk: Buffer) => recording.received.push(chunk));
    near.pipe(far).pipe(near);
  }

  async #targetOf(localPort: number): Promise<{ host: string; port: number }> {
    let target: { host: string; port: number } | undefined;
    await until(async () => {
      const lines = (await readFile(this.#targets, 'utf8')).split('\n').filter((line) => line.endsWith('}'));
      const all = lines.map((line) => JSON.parse(line) as { from: number; host: string; port: number });
      target = all.findLast(({ from }) => from === localPort);
      return target !== undefined;
    }, `the target of the connection from port ${localPort}`);
    return target as unknown as { host: string; port: number };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    for (const socket of this.#open) socket.destroy();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
