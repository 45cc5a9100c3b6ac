import { formatRange, windowMs } from '@coral/telemetry-store';

const day = 86_400_000;
/** A comparison window of which less than this share has data compares with too little. */
export const minBaselineCoverage = 0.5;

/** The window of an answer. All starts of windows in [from, gridTo) count; `to` is now. Milliseconds. */
export interface AnswerWindow {
  from: number;
  to: number;
  /** End of the 10 s window that is being filled. */
  gridTo: number;
  lengthMs: number;
}

/**
 * The last `rangeMs` up to now, in whole windows, from where data begins. Clipping is told in `notes`.
 */
export function answerWindow(
  now: number,
  rangeMs: number,
  dataBegin: number | undefined,
): { window: AnswerWindow; notes: string[] } {
  const gridTo = Math.ceil(now / windowMs) * windowMs;
  const asked = gridTo - rangeMs;
  const from = dataBegin !== undefined && dataBegin > asked && dataBegin < gridTo ? dataBegin : asked;
  const notes =
    from > asked
      ? [`asked for the last ${formatRange(rangeMs)}, but data begins at ${new Date(from).toISOString()}`]
      : [];
  return { window: { from, to: now, gridTo, lengthMs: rangeMs }, notes };
}

export interface BaselineWindow {
  kind: 'previous_window' | 'day_before';
  from: number;
  to: number;
}

/** What the window can be compared with: as long just before, and the same window a day earlier, where there is data. */
export function baselineWindows(
  window: AnswerWindow,
  dataBegin: number | undefined,
): { windows: BaselineWindow[]; notes: string[] } {
  if (dataBegin === undefined) return { windows: [], notes: [] };
  const wanted: BaselineWindow[] = [{ kind: 'previous_window', from: window.from - window.lengthMs, to: window.from }];
  // A day earlier, a window of a day or more would overlap itself or repeat the previous one.
  if (window.lengthMs < day) wanted.push({ kind: 'day_before', from: window.from - day, to: window.gridTo - day });
  const windows: BaselineWindow[] = [];
  const notes: string[] = [];
  for (const one of wanted) {
    const from = Math.max(one.from, dataBegin);
    if (one.to - from < minBaselineCoverage * (one.to - one.from)) continue;
    windows.push({ ...one, from });
    if (from > one.from) {
      notes.push(
        `baseline ${one.kind} covers only ${new Date(from).toISOString()} to ${new Date(one.to).toISOString()}`,
      );
    }
  }
  return { windows, notes };
}

/** Seconds that rates are taken over; never less than one. */
export function secondsOf(from: number, to: number): number {
  return Math.max(1, (to - from) / 1_000);
}
