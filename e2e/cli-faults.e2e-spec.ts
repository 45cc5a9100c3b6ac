import { chmod, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CoralError } from '@coral/errors';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ColonyDouble } from '../apps/cli/src/testing/colony-double.js';
import { openDouble, type Laptop } from './support/laptop.js';

describe('faults of the CLI: input, reason, exit code, next step', () => {
  let colony: ColonyDouble;
  let laptop: Laptop;

  beforeEach(async () => {
    ({ colony, laptop } = await openDouble());
  });
  afterEach(async () => {
    await laptop[Symbol.asyncDispose]();
    await colony[Symbol.asyncDispose]();
  });

  const faults: [
    string,
    { args: string[]; env?: NodeJS.ProcessEnv; before?: () => Promise<unknown> },
    string,
    number,
    RegExp,
  ][] = [
    ['no question', { args: ['ask'] }, 'no_question', 2, /coral ask -/],
    ['an empty question', { args: ['ask', ''] }, 'empty_question', 2, /coral ask "/],
    ['a question of 100 kB', { args: ['ask', 'x'.repeat(100_000)] }, 'question_too_long', 2, /fewer words/],
    ['nothing on stdin', { args: ['ask', '-'] }, 'empty_question', 2, /coral ask "/],
    ['an unknown command', { args: ['helth'] }, 'unknown_command', 2, /coral health/],
    ['an unknown flag', { args: ['ask', 'x', '--modle', 'y'] }, 'usage', 2, /--model/],
    ['a missing argument', { args: ['query'] }, 'usage', 2, /coral query --help/],
    ['an unknown colony', { args: ['health', '--colony', 'doubel'] }, 'unknown_colony', 1, /double/],
    ['a TTL that is none', { args: ['health', '--ephemeral-ttl', 'soon'] }, 'bad_duration', 2, /5m/],
    ['a TTL of 0', { args: ['health', '--ephemeral-ttl', '0s'] }, 'bad_ttl', 2, /^/],
    ['a TTL of -1', { args: ['health', '--ephemeral-ttl=-1'] }, 'bad_duration', 2, /5m/],
    [
      'a config others can read',
      { args: ['health'], before: () => chmod(laptop.config, 0o644) },
      'config_not_private',
      78,
      /chmod 600/,
    ],
    ['a config that is a link', { args: ['health'], before: () => linked() }, 'config_not_private', 78, /0600/],
    [
      'malformed YAML',
      { args: ['health'], before: () => laptop.configure(colony.entry, 'ai: {') },
      'bad_config',
      78,
      /config\.yaml/,
    ],
    [
      'an unknown key',
      { args: ['health'], before: () => laptop.configure(colony.entry, 'ephemral: {}\n') },
      'bad_config',
      78,
      /config\.yaml/,
    ],
    ['an unset reference', { args: ['health'], env: { CORAL_TOKEN: '' } }, 'secret_unset', 78, /CORAL_TOKEN/],
    ['a wrong token', { args: ['health'], env: { CORAL_TOKEN: 'coral_pat_x_y' } }, 'token_invalid', 4, /^/],
    ['no colony', { args: ['health'], before: () => rm(laptop.config) }, 'no_colony', 78, /coral colony add/],
    ['a wrong CA', { args: ['health'], before: () => repin('0'.repeat(64)) }, 'wrong_ca', 4, /fingerprint/],
    [
      'a fourth lease',
      { args: ['health'], before: async () => refuse('resource_exhausted', 'too_many_leases') },
      'too_many_leases',
      1,
      /^/,
    ],
    ['an unusable provider', { args: ['ask', 'x', '--model', 'google'] }, 'provider_unusable', 78, /builtin/],
    [
      'the key of a provider unset',
      {
        args: ['ask', 'x'],
        before: () => laptop.configure(colony.entry, 'ai: {provider: openai, api_key: "env://UNSET"}\n'),
      },
      'secret_unset',
      78,
      /UNSET/,
    ],
    [
      'offline with a provider elsewhere',
      { args: ['ask', 'x', '--offline', '--model', 'google'] },
      'provider_not_local',
      78,
      /builtin/,
    ],
    ['offline without a transcript', { args: ['ask', 'x', '--offline'] }, 'nothing_offline', 1, /without --offline/],
    [
      'a token as an argument',
      {
        args: ['colony', 'add', 'a', 'h:1', '--ca-fingerprint', `sha256:${'0'.repeat(64)}`, '--token', 'coral_pat_a_b'],
      },
      'secret_in_arguments',
      2,
      /env:/,
    ],
    ['no admin socket', { args: ['agent', 'list'] }, 'no_admin_socket', 6, /--admin-socket/],
  ];
  const linked = async () => {
    await writeFile(join(laptop.home, 'real.yaml'), 'colonies: []\n', { mode: 0o600 });
    await rm(laptop.config);
    await symlink(join(laptop.home, 'real.yaml'), laptop.config);
  };
  const repin = async (hex: string) => {
    const text = await readFile(laptop.config, 'utf8');
    await writeFile(laptop.config, text.replace(/sha256:[0-9a-f]+/, `sha256:${hex}`));
  };
  const refuse = (kind: 'resource_exhausted', reason: string) => {
    colony.refuseAccess = new CoralError({ kind, reason, message: 'You hold 3 leases.' });
  };

  it.each(faults)('%s', async (_what, { args, env: more, before }, reason, code, next) => {
    await before?.();
    const text = await laptop.coral(args, more);
    expect(text.stderr).toMatch(new RegExp(`^error: ${reason}: `, 'm'));
    expect(text.code).toBe(code);
    expect(/^next: (.*)/ms.exec(text.stderr)?.[1] ?? '').toMatch(next);
    expect(text.stdout).toBe('');
    expect(text.stderr).not.toMatch(/^\s+at /m);
    const json = await laptop.coral([...args, '--json'], more);
    expect(json.code).toBe(code);
    const last = json.stderr.trim().split('\n').at(-1) ?? '';
    expect(JSON.parse(last)).toMatchObject({ error: { reason }, exit_code: code });
    expect(colony.open).toEqual([]);
  });
});
