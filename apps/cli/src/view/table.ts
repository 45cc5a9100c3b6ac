import { visibleLine } from './visible.js';

export interface Column {
  title: string;
  /** Numbers stand right. */
  align?: 'left' | 'right';
  /** Columns at least this wide, so that a list does not jump between two looks. */
  minWidth?: number;
}

/** Narrowest a text column gets before a table is allowed to be wider than the terminal. */
const narrowest = 8;
const gap = 2;

/**
 * A plain table: no borders, no colour, every cell on one line and made harmless. Text columns are cut with `…` until
 * it fits `width`; numbers are never cut.
 */
export function renderTable(columns: readonly Column[], rows: readonly (readonly string[])[], width: number): string[] {
  const lines = [columns.map(({ title }) => title), ...rows].map((row) =>
    columns.map((_, i) => visibleLine(row[i] ?? '')),
  );
  const widths = columns.map(({ minWidth = 0 }, i) =>
    Math.max(minWidth, ...lines.map((line) => lengthOf(line[i] ?? ''))),
  );
  shrinkToFit(widths, columns, width);
  return lines.map((line) =>
    line
      .map((cell, i) => {
        const room = widths[i] ?? 0;
        const cut = lengthOf(cell) > room ? `${[...cell].slice(0, room - 1).join('')}…` : cell;
        const blank = ' '.repeat(Math.max(0, room - lengthOf(cut)));
        return columns[i]?.align === 'right' ? blank + cut : cut + blank;
      })
      .join(' '.repeat(gap))
      .trimEnd(),
  );
}

function shrinkToFit(widths: number[], columns: readonly Column[], width: number): void {
  let excess = widths.reduce((sum, w) => sum + w, gap * (widths.length - 1)) - width;
  for (; excess > 0; excess -= 1) {
    const free = widths.map((w, i) => (columns[i]?.align === 'right' ? 0 : w));
    const widest = Math.max(...free);
    if (widest <= narrowest) return;
    widths[free.indexOf(widest)] = widest - 1;
  }
}

function lengthOf(text: string): number {
  return [...text].length;
}
