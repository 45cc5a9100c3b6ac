import { Worker } from 'node:worker_threads';
import { CoralError } from '@coral/errors';
import { meshClosed, meshPortInUse, meshWorkerLost } from '../mesh.errors.js';
import { Outbox, type CallResult, type FromWorker, type OpenMessage, type ToWorker } from './protocol.js';
import { workerFile } from './worker-file.js';

/** The worker's heap, MB: what it holds for longer are buffers, which are outside and bounded by their own limits. */
export const workerHeapMb = 256;
/** A worker that does not end by itself is ended. Longer than its own patience with streams that still have to say something. */
export const workerEndMs = 2_000;

/** A worker that leaves a question unanswered for so long hangs, and counts as lost. */
export const workerAnswerMs = 10_000;
/** And so long again for the answer to be read: it may have been this thread that stood still. */
const secondLookMs = 1_000;

export interface WorkerListener {
  message(message: FromWorker): void;
  /** It died; nothing comes after this. */
  lost(error: CoralError): void;
}

/** The worker thread of one endpoint, as the main thread sees it. */
export class WorkerLink {
  readonly #worker: Worker;
  readonly #outbox: Outbox<ToWorker>;
  readonly #calls = new Map<number, { resolve(result: CallResult): void; reject(error: CoralError): void }>();
  readonly #exited = Promise.withResolvers<void>();
  #listener: WorkerListener | undefined;
  #opening: { resolve(udpPort: number): void; reject(error: CoralError): void } | undefined;
  #nextCall = 1;
  #holds = 0;
  #flushing = false;
  #over: CoralError | undefined;

  constructor() {
    this.#worker = new Worker(workerFile(), {
      name: 'coral-mesh',
      // Nothing of this process's options or secrets is meant for it.
      execArgv: [],
      env: {},
      resourceLimits: { maxOldGenerationSizeMb: workerHeapMb },
    });
    this.#outbox = new Outbox((messages, transfer) => this.#worker.postMessage(messages, transfer));
    this.#worker.on('message', (messages: FromWorker[]) => {
      for (const message of messages) this.#receive(message);
    });
    this.#worker.on('error', (cause) => this.#lose(cause));
    this.#worker.on('exit', (code) => {
      this.#lose(new Error(`it ended with code ${code}`));
      this.#exited.resolve();
    });
  }

  /** Resolves with the UDP port. */
  async open(message: OpenMessage, listener: WorkerListener): Promise<number> {
    this.#listener = listener;
    const opening = Promise.withResolvers<number>();
    this.#opening = opening;
    this.#outbox.add(message, message.privateKey);
    this.#outbox.flush();
    try {
      return await opening.promise;
    } catch (error) {
      await this.#worker.terminate();
      throw error;
    } finally {
      this.#opening = undefined;
      if (this.#holds === 0) this.#worker.unref();
    }
  }

  /** Goes out with everything else of this turn. */
  send(message: ToWorker, bytes?: Uint8Array): void {
    if (this.#over) return;
    this.#outbox.add(message, bytes);
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      if (!this.#over) this.#outbox.flush();
    });
  }

  /** Goes out before this returns, together with what waits: the worker must hear of it though this thread stands still. */
  sendNow(message: ToWorker): void {
    if (this.#over) return;
    this.#outbox.add(message);
    this.#outbox.flush();
  }

  /** `patienceMs`: how long the answer may take besides {@link workerAnswerMs}. */
  async call(make: (call: number) => ToWorker, patienceMs = 0): Promise<CallResult> {
    if (this.#over) throw this.#over;
    const call = this.#nextCall++;
    const answer = Promise.withResolvers<CallResult>();
    this.#calls.set(call, answer);
    this.send(make(call));
    this.hold(true);
    const hangs = (): void => {
      this.#lose(new Error('it does not answer'));
      void this.#worker.terminate();
    };
    let timer = setTimeout(() => {
      timer = setTimeout(hangs, secondLookMs);
    }, workerAnswerMs + patienceMs);
    try {
      return await answer.promise;
    } finally {
      clearTimeout(timer);
      this.hold(false);
    }
  }

  /** Counts what keeps the process alive: streams, listeners, dials, calls. */
  hold(on: boolean): void {
    const before = this.#holds;
    this.#holds += on ? 1 : -1;
    if (before === 0 && on) this.#worker.ref();
    else if (this.#holds === 0) this.#worker.unref();
  }

  /** Ends the thread; streams that were closed in order may say their last words before. */
  async close(): Promise<void> {
    if (!this.#over) {
      this.sendNow({ type: 'close' });
      this.#end(meshClosed());
    }
    this.#worker.ref();
    const late = setTimeout(() => void this.#worker.terminate(), workerEndMs);
    await this.#exited.promise;
    clearTimeout(late);
  }

  #receive(message: FromWorker): void {
    if (message.type === 'ready') this.#opening?.resolve(message.udpPort);
    else if (message.type === 'failed') this.#opening?.reject(meshPortInUse(message));
    else if (message.type === 'answer') {
      this.#calls.get(message.call)?.resolve(message.result);
      this.#calls.delete(message.call);
    } else if (!this.#over) this.#listener?.message(message);
  }

  #lose(cause: unknown): void {
    if (this.#over) return;
    const error = cause instanceof CoralError ? cause : meshWorkerLost(cause);
    this.#end(error);
    this.#opening?.reject(error);
    this.#listener?.lost(error);
  }

  #end(error: CoralError): void {
    this.#over = error;
    for (const { reject } of this.#calls.values()) reject(error);
    this.#calls.clear();
  }
}
