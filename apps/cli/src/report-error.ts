import { nearest } from '@coral/config';
import { CoralError, exitCodeFor, toCoralError } from '@coral/errors';
import { Interrupted } from './interruption.js';
import { visible, visibleJson, visibleLine } from './view/visible.js';

export interface ReportOptions {
  /** One JSON object on stderr instead of text. */
  json: boolean;
  argv: readonly string[];
  /** Every command there is, in words: `colony add`. */
  commands(): string[];
  stderr: { write(text: string): unknown };
}

/** Prints what went wrong, and says with which code the process ends: the only place that decides it for errors. */
export function reportError(thrown: unknown, { json, argv, commands, stderr }: ReportOptions): number {
  if (thrown instanceof Interrupted) return thrown.exitCode;
  const quiet = oclifExit(thrown);
  if (quiet !== undefined) return quiet;
  const error = fromOclif(thrown, argv, commands) ?? toCoralError(thrown);
  stderr.write(json ? `${visibleJson(errorJson(error))}\n` : errorText(error));
  if (error.reason === 'internal' && process.env['CORAL_DEBUG'] && error.cause instanceof Error) {
    stderr.write(`${visible(error.cause.stack ?? '')}\n`);
  }
  return exitCodeFor(error.kind);
}

/** `error: <reason>: message`, where it is, and the exact next step; each on lines of its own. */
export function errorText({ reason, message, where, next }: CoralError): string {
  const lines = [`error: ${visibleLine(reason)}: ${visible(message)}`];
  // A message about a file begins with the place already.
  if (where !== undefined && !message.startsWith(where)) lines.push(`where: ${visibleLine(where)}`);
  if (next !== undefined) lines.push(`next: ${visible(next)}`);
  return `${lines.join('\n')}\n`;
}

function errorJson(error: CoralError): object {
  return { error: errorBody(error), exit_code: exitCodeFor(error.kind) };
}

/** An error as every `--json` says it. */
export function errorBody({ kind, reason, message, where, next }: CoralError): object {
  return { kind, reason, message, where, next };
}

interface OclifError extends Error {
  code?: string;
  oclif?: { exit?: number };
  flags?: unknown;
  parse?: { input?: { flags?: Record<string, unknown> } };
}

/** oclif ends some runs (help among them) by throwing; those have said all there is to say. */
function oclifExit(thrown: unknown): number | undefined {
  const error = thrown as OclifError;
  return error instanceof Error && error.code === 'EEXIT' ? (error.oclif?.exit ?? 0) : undefined;
}

function fromOclif(thrown: unknown, argv: readonly string[], commands: () => string[]): CoralError | undefined {
  if (!(thrown instanceof Error) || thrown instanceof CoralError) return undefined;
  const error = thrown as OclifError;
  const unknownCommand = /^[Cc]ommand (.+) not found/.exec(error.message)?.[1];
  if (unknownCommand !== undefined) {
    const words = unknownCommand.replaceAll(':', ' ');
    const close = nearest(words, commands());
    return new CoralError({
      kind: 'invalid_argument',
      reason: 'unknown_command',
      where: words,
      message: `There is no command ${JSON.stringify(words)}.`,
      next: close ? `Did you mean coral ${close}?` : 'coral --help lists them.',
    });
  }
  if (error.parse === undefined && error.oclif === undefined) return undefined;
  const command = commands().find((words) => argv.join(' ').startsWith(words));
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'usage',
    message: (error.message.split('\nSee more help')[0] ?? error.message).trim(),
    next: [flagHint(error), `coral ${command ? `${command} ` : ''}--help shows what it takes.`].join(''),
  });
}

function flagHint({ flags, parse }: OclifError): string {
  const wrong = Array.isArray(flags) ? String(flags[0]) : undefined;
  const known = Object.keys(parse?.input?.flags ?? {});
  const close = wrong?.startsWith('--') ? nearest(wrong.slice(2), known) : undefined;
  return close ? `Did you mean --${close}? ` : '';
}
