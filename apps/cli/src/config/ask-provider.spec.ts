import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { readProvider } from './ask-provider.js';

function terminalOf(typed: string, isTTY = true) {
  const stdin = Object.assign(new PassThrough(), { isTTY });
  const stderr = new PassThrough();
  stdin.end(typed);
  return { stdin, stderr, shown: () => String(stderr.read() ?? '') };
}

describe('the provider to configure', () => {
  it('is the one that is named', async () => {
    expect(await readProvider('anthropic', terminalOf(''), undefined)).toBe('anthropic');
  });

  it.each([
    ['opena', 'unknown_provider'],
    ['google', 'provider_unusable'],
  ])('cannot be %s', async (flag, reason) => {
    await expect(readProvider(flag, terminalOf(''), undefined)).rejects.toMatchObject({ reason });
  });

  it.each([
    ['a name', 'openai\n', 'openai'],
    ['a number of the list', '2\n', 'anthropic'],
    ['nothing, which keeps what there is', '\n', 'openai'],
    ['what is none first', '9\nollama\nfoo\nbuiltin\n', 'builtin'],
  ])('is chosen at a terminal by %s', async (_how, typed, expected) => {
    const terminal = terminalOf(typed);
    expect(await readProvider(undefined, terminal, 'openai')).toBe(expected);
    const shown = terminal.shown();
    expect(shown).toContain('2 anthropic');
    expect(shown).not.toContain('ollama\n');
    expect(shown).toContain('Which one [openai]? ');
  });

  it('is nobody’s when the terminal goes away', async () => {
    await expect(readProvider(undefined, terminalOf(''), undefined)).rejects.toMatchObject({ kind: 'cancelled' });
  });

  it('must be named where there is no terminal', async () => {
    await expect(readProvider(undefined, terminalOf('openai\n', false), undefined)).rejects.toMatchObject({
      kind: 'invalid_argument',
      reason: 'no_provider_given',
      where: '--provider',
      next: expect.stringContaining('anthropic, openai'),
    });
  });
});
