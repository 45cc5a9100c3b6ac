/** Under this name everything beyond a cap is counted; the totals stay right. */
export const other = '(other)';

/** A name not used for this long makes room for another. */
const forgetAfterMs = 3_600_000;

/** Lets the first `max` names of each group through and calls the rest `(other)`, the same from batch to batch. */
export class NameCaps {
  readonly #max: number;
  readonly #groups = new Map<string, Map<string, number>>();

  constructor(max: number) {
    this.#max = max;
  }

  admit(group: string, name: string, now: number): string {
    let names = this.#groups.get(group);
    if (names === undefined) this.#groups.set(group, (names = new Map()));
    if (!names.has(name) && names.size >= this.#max) {
      for (const [known, usedAt] of names) if (now - usedAt > forgetAfterMs) names.delete(known);
      if (names.size >= this.#max) return other;
    }
    names.set(name, now);
    return name;
  }
}
