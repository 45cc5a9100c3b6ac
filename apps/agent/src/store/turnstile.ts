/** Lets many readers in at once, or one writer alone, in the order they came. */
export class Turnstile {
  #last: Promise<unknown> = Promise.resolve();
  #readers = new Set<Promise<unknown>>();

  /** Runs beside other `shared` work, never beside `alone`. */
  shared<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#last.then(work);
    const settled = run.then(
      () => undefined,
      () => undefined,
    );
    this.#readers.add(settled);
    void settled.then(() => this.#readers.delete(settled));
    return run;
  }

  /** Runs when everything before it has ended; everything after waits for it. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    const before = [this.#last, ...this.#readers];
    const run = Promise.all(before).then(work);
    this.#last = run.then(
      () => undefined,
      () => undefined,
    );
    return run;
  }
}
