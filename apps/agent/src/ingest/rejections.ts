/** Collects why items were rejected: each distinct problem once, with its count and first example. */
export class Rejections {
  readonly #problems = new Map<string, { times: number; example: string }>();
  count = 0;

  add(problem: string, example: string, times = 1): void {
    this.count += times;
    const known = this.#problems.get(problem);
    if (known === undefined) this.#problems.set(problem, { times, example });
    else known.times += times;
  }

  describe(what: string): string {
    if (this.count === 0) return '';
    const parts = [...this.#problems].map(
      ([problem, { times, example }]) => `${times} × ${problem} (first: ${JSON.stringify(example.slice(0, 80))})`,
    );
    return `${this.count} ${what} rejected: ${parts.join('; ')}`;
  }
}
