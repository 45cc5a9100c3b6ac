import { CoralError } from '@coral/errors';
import { formatLocation, formatPath, type SourceLocation } from './location.js';

/** More than this many problems are counted, not listed. */
export const maxListedProblems = 20;

export interface Problem {
  at: SourceLocation;
  /** Where in the document, for people; empty for the document itself. */
  path: readonly PropertyKey[];
  text: string;
  /** Overrides `bad_config` when this problem comes first. */
  reason?: string | undefined;
  next?: string | undefined;
}

/** One error for all problems of a file, in the order of the file; the first gives `where`, `reason` and `next`. */
export function badConfig(file: string, problems: readonly Problem[]): CoralError {
  const ordered = problems.toSorted((a, b) => a.at.line - b.at.line || a.at.col - b.at.col);
  const lines = [...new Set(ordered.map((problem) => formatProblem(file, problem)))];
  const hidden = lines.length - maxListedProblems;
  const listed = hidden > 0 ? [...lines.slice(0, maxListedProblems), `… and ${hidden} more`] : lines;
  const first = ordered[0];
  return new CoralError({
    kind: 'failed_precondition',
    reason: first?.reason ?? 'bad_config',
    where: first && formatLocation(file, first.at),
    message: listed.join('\n'),
    next: first?.next ?? `Correct ${file} at line ${first?.at.line ?? 1} and try again.`,
  });
}

function formatProblem(file: string, problem: Problem): string {
  const path = problem.path.length > 0 ? `${formatPath(problem.path)}: ` : '';
  return `${formatLocation(file, problem.at)}: ${path}${problem.text}`;
}
