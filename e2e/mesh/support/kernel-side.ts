import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { KernelOrder, KernelReport, TcpResult, TcpTask } from './kernel-peer.js';
import type { NetworkNamespace } from './network-namespace.js';

const program = fileURLToPath(new URL('kernel-peer.ts', import.meta.url));

type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;

/** Programs on the kernel's TCP and UDP in a namespace, told what to do from here. */
export class KernelSide {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #listeners = new Map<number, (report: KernelReport) => void>();
  #errors = '';
  #lastId = 0;
  #ended: Error | undefined;

  constructor(namespace: NetworkNamespace) {
    // The namespace has a pid and mount namespace too, but the same files.
    this.#child = namespace.spawn(process.execPath, ['--no-warnings', program]);
    this.#child.stderr.on('data', (chunk: Buffer) => (this.#errors += chunk.toString()));
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const report = JSON.parse(line) as KernelReport;
      this.#listeners.get(report.id)?.(report);
    });
    this.#child.on('close', () => {
      this.#ended = new Error(`the kernel's side has ended: ${this.#errors || 'it was told to'}`);
      for (const [id, listener] of this.#listeners) listener({ id, failed: this.#ended.message });
    });
  }

  /** Listens at every address of the namespace on a free port; each connection that comes does the task. */
  async listen(task: TcpTask): Promise<KernelListener> {
    const listener = new KernelListener();
    listener.port = await new Promise<number>((resolve, reject) => {
      this.#order({ order: 'listen', task }, (report) => {
        if ('failed' in report) {
          reject(new Error(report.failed));
          listener.fail(new Error(report.failed));
        } else if ('port' in report) resolve(report.port);
        else listener.served(report.remotePort, report.result);
      });
    });
    return listener;
  }

  /** Connects from the namespace and does the task; resolves when the connection is closed. */
  connect(host: string, port: number, task: TcpTask): Promise<TcpResult> {
    return new Promise((resolve, reject) => {
      this.#order({ order: 'connect', host, port, task }, (report) => {
        if ('failed' in report) reject(new Error(report.failed));
        else if ('result' in report) resolve(report.result);
      });
    });
  }

  /** Port of a socket that sends every datagram back. */
  udpEcho(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#order({ order: 'udp-echo' }, (report) => {
        if ('failed' in report) reject(new Error(report.failed));
        else if ('port' in report) resolve(report.port);
      });
    });
  }

  close(): void {
    this.#child.stdin.end();
  }

  #order(order: WithoutId<KernelOrder>, listener: (report: KernelReport) => void): void {
    if (this.#ended) throw this.#ended;
    const id = (this.#lastId += 1);
    this.#listeners.set(id, listener);
    this.#child.stdin.write(`${JSON.stringify({ id, ...order })}\n`);
  }
}

/** A listening socket of the kernel's side. */
export class KernelListener {
  port = 0;
  readonly #results = new Map<number, TcpResult>();
  readonly #waiting = new Map<number, { resolve: (result: TcpResult) => void; reject: (error: Error) => void }>();

  /** What the kernel's end of the connection from this port of ours saw; waits until it is closed. */
  result(remotePort: number): Promise<TcpResult> {
    const result = this.#results.get(remotePort);
    if (result) return Promise.resolve(result);
    return new Promise((resolve, reject) => this.#waiting.set(remotePort, { resolve, reject }));
  }

  served(remotePort: number, result: TcpResult): void {
    this.#results.set(remotePort, result);
    this.#waiting.get(remotePort)?.resolve(result);
    this.#waiting.delete(remotePort);
  }

  fail(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
