import type { EventType } from '@coral/tools';
import { nearestWords, quote, QuestionNotUnderstood } from './language.errors.js';
import { dimensions, metrics, stepChoices, type Dimension, type Metric } from './question.js';
import { checkRange, readDuration, readUnit } from './time-words.js';
import { readTokens, type Token } from './tokens.js';
import { vocabulary, type Meaning } from './vocabulary.js';

/** What the words say, before names are looked up. */
export interface ReadWords {
  metrics: Metric[];
  events: (EventType | 'any')[];
  by: Dimension[];
  rangeMs?: number;
  stepMs?: number;
  top?: number;
  agent?: string;
  /** Words that are not in the vocabulary, in runs, and quoted ones: names of services, or mistakes. */
  names: { words: string[]; quoted: boolean }[];
}

/** Reads every word of a question. Refuses what contradicts itself; names are the caller's to judge. */
export function readWords(text: string): ReadWords {
  const tokens = readTokens(text);
  if (tokens.length === 0) throw new QuestionNotUnderstood('The question is empty.');
  return new Reader(tokens).read();
}

class Reader {
  readonly #tokens: readonly Token[];
  #at = 0;
  #inBy = false;
  #openRun = false;
  readonly #read: ReadWords = { metrics: [], events: [], by: [], names: [] };

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  read(): ReadWords {
    while (this.#at < this.#tokens.length) this.#one();
    const { metrics: found, by } = this.#read;
    // "p95 latency" asks for the p95, not for both.
    const narrower = found.some((metric) => /^p\d\d$/.test(metric));
    this.#read.metrics = metrics.filter((metric) => found.includes(metric) && !(narrower && metric === 'latency'));
    this.#read.by = dimensions.filter((dimension) => by.includes(dimension));
    this.#read.events = [...new Set(this.#read.events)];
    return this.#read;
  }

  #one(): void {
    const token = this.#tokens[this.#at] as Token;
    if (token.kind === 'quoted') {
      this.#at += 1;
      this.#read.names.push({ words: [token.text], quoted: true });
      this.#leave();
      return;
    }
    if (token.kind === 'comma') {
      this.#at += 1;
      this.#openRun = false;
      return;
    }
    const { meaning, used } = this.#meaning();
    if (meaning === undefined) {
      if (this.#duration()) return;
      this.#name(token);
      return;
    }
    this.#at += used;
    this.#openRun = false;
    this.#take(meaning);
  }

  /** Two words before one: "error rate" is not "error". */
  #meaning(): { meaning: Meaning | undefined; used: number } {
    const [first, second] = this.#tokens.slice(this.#at, this.#at + 2) as [Token, Token | undefined];
    if (second?.kind === 'word') {
      const both = vocabulary.get(`${first.word} ${second.word}`);
      if (both !== undefined) return { meaning: both, used: 2 };
    }
    return { meaning: vocabulary.get(first.word), used: 1 };
  }

  #take(meaning: Meaning): void {
    switch (meaning.is) {
      case 'metric':
        this.#leave();
        this.#read.metrics.push(meaning.metric);
        return;
      case 'event':
        this.#leave();
        this.#read.events.push(meaning.type);
        return;
      case 'dimension':
        this.#read.by.push(meaning.by);
        return;
      case 'service':
        if (this.#inBy) this.#read.by.push('service');
        return;
      case 'by':
        this.#inBy = true;
        this.#needsGrouping();
        return;
      case 'last':
        this.#leave();
        if (!this.#duration(true)) throw this.#refuse('After "last" comes a length of time');
        return;
      case 'top':
        this.#leave();
        this.#read.top = this.#topCount();
        return;
      case 'step':
        this.#leave();
        this.#step();
        return;
      case 'agent':
        this.#leave();
        this.#agent();
        return;
      case 'and':
        return;
      case 'filler':
        this.#leave();
    }
  }

  /** Words that are not groupings end the list after `by`. */
  #leave(): void {
    this.#inBy = false;
    this.#openRun = false;
  }

  #needsGrouping(): void {
    const token = this.#tokens[this.#at];
    const meaning = token === undefined ? undefined : this.#meaning().meaning;
    if (meaning && ['metric', 'dimension', 'service'].includes(meaning.is)) return;
    throw this.#refuse('After "by" comes service, route, version, dependency or time', dimensions);
  }

  #refuse(rule: string, near: readonly string[] = []): QuestionNotUnderstood {
    const token = this.#tokens[this.#at];
    if (token === undefined) return new QuestionNotUnderstood(`${rule}, not the end of the question.`);
    return new QuestionNotUnderstood(`${rule}, not ${quote(token.text)}.`, nearestWords(token.text, near));
  }

  #duration(afterLast = false): boolean {
    const following = this.#tokens.slice(this.#at, this.#at + 2);
    const words = following.map((token) => (token.kind === 'word' ? token.word : ''));
    const unit = afterLast ? readUnit(words[0]) : undefined;
    const found = unit === undefined ? readDuration(words) : { ms: unit, used: 1 };
    if (found === undefined) return false;
    const text = following.slice(0, found.used).map((token) => token.text);
    const ms = checkRange(found.ms, text.join(' '), 'query');
    if (this.#read.rangeMs !== undefined && this.#read.rangeMs !== ms) {
      throw new QuestionNotUnderstood('The question names two time ranges; ask about one.');
    }
    this.#read.rangeMs = ms;
    this.#at += found.used;
    this.#leave();
    return true;
  }

  #topCount(): number {
    const token = this.#tokens[this.#at];
    const count = token && /^\d{1,4}$/.test(token.word) ? Number(token.word) : 0;
    if (count < 1 || count > 1_000) throw this.#refuse('After "top" comes a number from 1 to 1000');
    this.#at += 1;
    return count;
  }

  #step(): void {
    const found = readDuration(this.#tokens.slice(this.#at, this.#at + 2).map((token) => token.word));
    if (found === undefined || !stepChoices.includes(found.ms as (typeof stepChoices)[number])) {
      throw this.#refuse('After "step" comes 10s, 1m, 10m or 1h');
    }
    this.#read.stepMs = found.ms;
    this.#at += found.used;
  }

  #agent(): void {
    const token = this.#tokens[this.#at];
    if (token === undefined || token.kind === 'comma') throw this.#refuse('After "agent" comes its id or name');
    this.#read.agent = token.text;
    this.#at += 1;
  }

  #name(token: Token): void {
    this.#at += 1;
    const last = this.#read.names.at(-1);
    if (this.#openRun && last) last.words.push(token.text);
    else this.#read.names.push({ words: [token.text], quoted: false });
    this.#inBy = false;
    this.#openRun = true;
  }
}
