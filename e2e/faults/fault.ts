import { expect } from 'vitest';
import type { ErrorKind } from '@coral/errors';
import type { ToolEnvelope } from '@coral/tools';
import type { Ended, Laptop } from '../support/laptop.js';
import type { FaultWorld } from './world.js';

/** What somebody saw of it, in the words of the error table. */
export interface Seen {
  /** `ok`: it is an answer, and `next` holds the notes that come with it. */
  kind: ErrorKind | 'ok';
  reason: string;
  /** Null: no process of ours ended; the answer went to another program. */
  exit: number | null;
  next: string;
}

/** One row of the table, but for how it comes about. */
export interface FaultRow {
  input: string;
  kind: Seen['kind'];
  reason: string;
  exit: number | null;
  next: RegExp;
}

/** Comes about in the world that all share. */
export interface Fault extends FaultRow {
  see(world: FaultWorld): Promise<Seen>;
}

/** Comes about in a system of its own. */
export interface LoneFault extends FaultRow {
  see(): Promise<Seen>;
}

interface ReportedError {
  error: { kind: ErrorKind; reason: string; message: string; next?: string };
  exit_code: number;
}

/**
 * A command that fails, as a person sees it and as a program does: both are told the same, and nothing else. `names`
 * must stand in the message.
 */
export async function refused(laptop: Laptop, args: string[], env?: NodeJS.ProcessEnv, names = ''): Promise<Seen> {
  const [text, json] = await Promise.all([laptop.coral(args, env), laptop.coral([...args, '--json'], env)]);
  const last = json.stderr.trim().split('\n').at(-1) ?? '';
  const { error, exit_code: exit } = JSON.parse(last) as ReportedError;
  expect([text.code, json.code], text.stderr).toEqual([exit, exit]);
  expect(text.stderr).toContain(`error: ${error.reason}: `);
  expect(error.message).toContain(names);
  if (error.next !== undefined) expect(text.stderr).toContain(`next: ${error.next}`);
  expect(text.stderr).not.toMatch(/^\s+at /m);
  expect([text.stdout, json.stdout]).toEqual(['', '']);
  return { kind: error.kind, reason: error.reason, exit, next: error.next ?? '' };
}

/** A tool's answer as the CLI got it; the exit code says whether it was partial. */
export function answered({ code, stdout, stderr }: Ended): { seen: Seen; envelope: ToolEnvelope } {
  expect(stdout, stderr).not.toBe('');
  const envelope = JSON.parse(stdout) as ToolEnvelope;
  const kind = code === 8 ? 'partial' : 'ok';
  return { seen: { kind, reason: envelope.status, exit: code, next: envelope.notes.join('; ') }, envelope };
}

/** A program that ended by itself: its last line on stderr says why. */
export function ended({ code, stdout, stderr }: Ended): Seen {
  expect(stdout).toBe('');
  const last = stderr.trim().split('\n').at(-1) ?? '';
  const line = JSON.parse(last) as { level: string; kind: ErrorKind; reason: string; next?: string };
  expect(line.level).toBe('error');
  return { kind: line.kind, reason: line.reason, exit: code, next: line.next ?? '' };
}
