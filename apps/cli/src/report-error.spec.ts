import { CoralError, errorKinds } from '@coral/errors';
import { describe, expect, it } from 'vitest';
import { Interrupted } from './interruption.js';
import { reportError } from './report-error.js';

function report(thrown: unknown, more: { json?: boolean; argv?: string[] } = {}): { code: number; text: string } {
  let text = '';
  const stderr = { write: (part: string) => (text += part) };
  const commands = () => ['ask', 'colony add', 'colony ephemeral list'];
  const code = reportError(thrown, { json: more.json ?? false, argv: more.argv ?? [], commands, stderr });
  return { code, text };
}

describe('what a failed command says', () => {
  const exitCodes: Record<string, number> = {
    invalid_argument: 2,
    permission_denied: 3,
    unauthenticated: 4,
    provider_failed: 5,
    unavailable: 6,
    deadline_exceeded: 7,
    partial: 8,
    failed_precondition: 78,
    not_found: 1,
    resource_exhausted: 1,
    internal: 1,
    cancelled: 130,
  };

  it.each(errorKinds)('ends with the code of its kind: %s', (kind) => {
    const error = new CoralError({
      kind,
      reason: 'some_reason',
      message: 'It failed.',
      next: 'Do this.',
      where: 'here',
    });
    expect(report(error)).toEqual({
      code: exitCodes[kind],
      text: 'error: some_reason: It failed.\nwhere: here\nnext: Do this.\n',
    });
    const { code, text } = report(error, { json: true });
    expect(code).toBe(exitCodes[kind]);
    expect(JSON.parse(text)).toEqual({
      error: { kind, reason: 'some_reason', message: 'It failed.', where: 'here', next: 'Do this.' },
      exit_code: exitCodes[kind],
    });
  });

  it('does not repeat a place that the message begins with', () => {
    const error = new CoralError({
      kind: 'failed_precondition',
      reason: 'bad',
      message: 'f.yaml:1:2: x',
      where: 'f.yaml:1:2',
    });
    expect(report(error).text).toBe('error: bad: f.yaml:1:2: x\n');
  });

  it('keeps the inside of an unknown failure inside', () => {
    const { code, text } = report(new TypeError('secret detail of /some/path'));
    expect(code).toBe(1);
    expect(text).toMatch(/^error: internal: An internal error occurred \(request [0-9a-f-]{36}\)\.\nnext: /);
    expect(text).not.toContain('secret detail');
  });

  it('sends no control character of a colony to the terminal', () => {
    const error = new CoralError({
      kind: 'not_found',
      reason: 'x',
      message: 'gone \u001b[2J',
      where: '\u202e',
      next: '\u0007',
    });
    // oxlint-disable-next-line no-control-regex
    expect(report(error).text).not.toMatch(/[\u001b\u0007\u202e]/);
  });

  it('says nothing of its own when a signal ended it', () => {
    expect(report(new Interrupted('SIGINT'))).toEqual({ code: 130, text: '' });
    expect(report(new Interrupted('SIGTERM'))).toEqual({ code: 143, text: '' });
    expect(report(new Interrupted('SIGHUP'))).toEqual({ code: 129, text: '' });
    expect(report(new Interrupted('SIGPIPE'))).toEqual({ code: 141, text: '' });
  });

  it('names the nearest command and flag', () => {
    const unknown = report(new Error('command colony:ad not found'));
    expect(unknown).toEqual({
      code: 2,
      text: 'error: unknown_command: There is no command "colony ad".\nwhere: colony ad\nnext: Did you mean coral colony add?\n',
    });
    const flag = Object.assign(new Error('Nonexistent flag: --modle\nSee more help with --help'), {
      flags: ['--modle'],
      parse: { input: { flags: { model: {}, json: {} } } },
    });
    const { code, text } = report(flag, { argv: ['ask', 'x', '--modle', 'y'] });
    expect(code).toBe(2);
    expect(text).toBe(
      'error: usage: Nonexistent flag: --modle\nnext: Did you mean --model? coral ask --help shows what it takes.\n',
    );
  });
});
