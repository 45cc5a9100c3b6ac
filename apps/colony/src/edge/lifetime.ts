/** Whatever was opened, in the order it was opened; closed in reverse, each even when another fails to. */
export class Lifetime implements AsyncDisposable {
  private readonly stack = new AsyncDisposableStack();

  own<T extends Disposable | AsyncDisposable>(thing: T): T {
    return this.stack.use(thing);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stack.disposeAsync();
  }
}
