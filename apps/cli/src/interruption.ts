import { constants } from 'node:os';

const caught = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
type Caught = (typeof caught)[number] | 'SIGPIPE';

/** The shell's rule for a process that a signal ended: 130 for Ctrl-C, 143 for SIGTERM. */
export function exitCodeOfSignal(name: Caught): number {
  return 128 + constants.signals[name];
}

/** Thrown, or given as the reason of an abort, when the user or the system stopped the command. */
export class Interrupted extends Error {
  readonly exitCode: number;

  constructor(readonly signalName: Caught) {
    super(`interrupted by ${signalName}`);
    this.name = 'Interrupted';
    this.exitCode = exitCodeOfSignal(signalName);
  }
}

/** How long the second Ctrl-C lets a release that is under way go on, ms. */
export const lastGraspMs = 150;

/**
 * Turns the first Ctrl-C, SIGTERM, SIGHUP or broken stdout pipe into an abort, so that work can end in order. The second
 * signal ends the process at once, with one short chance for `lastGrasp`.
 */
export class Interruption implements Disposable {
  private readonly controller = new AbortController();
  private readonly handlers = new Map<string, () => void>();
  private readonly onPipe = (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') this.stop('SIGPIPE');
    else throw error;
  };
  lastGrasp: () => Promise<void> = async () => undefined;

  static #watching = 0;
  /** True while a command wants to end in its own order. */
  static isWatching(): boolean {
    return Interruption.#watching > 0;
  }

  constructor() {
    Interruption.#watching += 1;
    for (const name of caught) {
      const handler = () => this.onSignal(name);
      this.handlers.set(name, handler);
      process.on(name, handler);
    }
    process.stdout.on('error', this.onPipe);
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** What stopped the command, if anything did. */
  get reason(): Interrupted | undefined {
    return this.signal.aborted ? (this.signal.reason as Interrupted) : undefined;
  }

  private onSignal(name: (typeof caught)[number]): void {
    if (!this.signal.aborted) {
      this.stop(name);
      return;
    }
    const leave = () => process.exit(exitCodeOfSignal(name));
    setTimeout(leave, lastGraspMs);
    this.lastGrasp().then(leave, leave);
  }

  private stop(name: Caught): void {
    if (!this.signal.aborted) this.controller.abort(new Interrupted(name));
  }

  [Symbol.dispose](): void {
    Interruption.#watching -= 1;
    process.stdout.off('error', this.onPipe);
    for (const [name, handler] of this.handlers) process.off(name, handler);
  }
}
