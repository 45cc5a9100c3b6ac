import type { ToolDefinition } from '@coral/tools';
import { shortenResult } from './fence.js';
import type { Turn } from './provider.js';

/** JSON full of numbers and names has fewer characters to a token than prose, which has four. */
export const charactersPerToken = 3;

/** Tokens kept free for thinking and answer, at most; a small window gives a quarter. */
export const maxAnswerRoomTokens = 16_000;

/** Once results must be shortened, the turns come down to this share of the room: not again in the next step, whose prompt a cache may know. */
export const shortenedShare = 0.75;

/** What an old result keeps at first: its head says which service and window it was about. */
export const oldResultChars = 600;

interface Around {
  system: string;
  tools: readonly ToolDefinition[];
  /** Tokens of prompt and answer together; undefined: unknown, nothing is shortened. */
  window: number | undefined;
}

/**
 * Turns that fit: older tool results are shortened first, then dropped to a line, the ones of the last round only when
 * nothing else is left. The question and what the model said stay whole, even when they alone are too long.
 */
export function fitWindow(turns: readonly Turn[], { system, tools, window }: Around): Turn[] {
  const fitted = [...turns];
  if (window === undefined) return fitted;
  const fixed = system.length + JSON.stringify(tools).length;
  const room = (window - Math.min(maxAnswerRoomTokens, window / 4)) * charactersPerToken - fixed;
  if (lengthOf(fitted) <= room) return fitted;
  const newest = fitted.findLastIndex((turn) => turn.role === 'tool');
  for (const [most, upTo] of [
    [oldResultChars, newest],
    [0, newest],
  ] as const) {
    for (let i = 0; i < upTo && lengthOf(fitted) > room * shortenedShare; i += 1) shortenTurn(fitted, i, most);
  }
  const over = lengthOf(fitted) - room;
  if (over > 0 && newest >= 0) shareOut(fitted, newest, over);
  return fitted;
}

function shortenTurn(turns: Turn[], at: number, most: number): void {
  const turn = turns[at];
  if (turn?.role !== 'tool') return;
  turns[at] = { ...turn, outcomes: turn.outcomes.map((one) => ({ ...one, text: shortenResult(one.text, most) })) };
}

/** Takes `over` characters from one round: the longest results give most. */
function shareOut(turns: Turn[], at: number, over: number): void {
  const turn = turns[at];
  if (turn?.role !== 'tool') return;
  const lengths = turn.outcomes.map(({ text }) => text.length);
  const aim = lengths.reduce((sum, length) => sum + length, 0) - over - turn.outcomes.length * notice;
  shortenTurn(turns, at, levelFor(lengths, aim));
}

/** Characters of the line that says what went, with the fence around. */
const notice = 250;

/** The length to which all longer ones are cut so that the sum is `aim` at most. */
function levelFor(lengths: readonly number[], aim: number): number {
  let left = Math.max(0, aim);
  const sorted = lengths.toSorted((a, b) => a - b);
  for (const [i, length] of sorted.entries()) {
    const share = Math.floor(left / (sorted.length - i));
    if (length > share) return share;
    left -= length;
  }
  return Number.POSITIVE_INFINITY;
}

function lengthOf(turns: readonly Turn[]): number {
  return turns.reduce((sum, turn) => sum + charactersOf(turn), 0);
}

function charactersOf(turn: Turn): number {
  switch (turn.role) {
    case 'user':
      return turn.text.length;
    case 'assistant': {
      const said = turn.text.length + JSON.stringify(turn.toolCalls).length;
      return turn.native === undefined ? said : Math.max(said, JSON.stringify(turn.native.content).length);
    }
    case 'tool':
      return turn.outcomes.reduce((sum, one) => sum + one.text.length, 0);
  }
}
