import { chmod, readFile, rename, symlink, writeFile } from 'node:fs/promises';
import { expect } from 'vitest';
import type { Laptop } from '../support/laptop.js';
import { refused, type Fault, type Seen } from './fault.js';
import type { FaultWorld } from './world.js';

interface Attempt {
  env?: NodeJS.ProcessEnv;
  /** Appended to the configuration. */
  more?: string;
  before?(laptop: Laptop): Promise<unknown>;
}

/** What alex, a developer with a good configuration, is told when one thing about it is wrong. */
const alex =
  (args: string[], { env, more, before }: Attempt = {}) =>
  async (world: FaultWorld): Promise<Seen> => {
    await using laptop = await world.laptopOf(world.alex, more);
    await before?.(laptop);
    return await refused(laptop, args, env);
  };

const repin = async (laptop: Laptop): Promise<void> => {
  const text = await readFile(laptop.config, 'utf8');
  await writeFile(laptop.config, text.replace(/sha256:[0-9a-f]+/, `sha256:${'0'.repeat(64)}`));
};

const replaceByLink = async (laptop: Laptop): Promise<void> => {
  const elsewhere = `${laptop.config}.real`;
  await rename(laptop.config, elsewhere);
  await symlink(elsewhere, laptop.config);
};

/** Three commands that keep their leases, then a fourth; at the end what it advises is done, and helps. */
async function fourthLease(world: FaultWorld): Promise<Seen> {
  await using laptop = await world.laptopOf(world.alex, 'ephemeral: {auto_cleanup: false}\n');
  for (let held = 0; held < 3; held++) expect((await laptop.coral(['health'])).code).toBe(0);
  const seen = await refused(laptop, ['health']);
  const listed = await laptop.coral(['colony', 'ephemeral', 'list', '--json']);
  const { agents } = JSON.parse(listed.stdout) as { agents: { agent_id: string }[] };
  expect(agents).toHaveLength(3);
  for (const { agent_id: id } of agents) {
    const done = await laptop.coral(['colony', 'ephemeral', 'release', id]);
    expect(done.code, done.stderr).toBe(0);
  }
  await using after = await world.laptopOf(world.alex);
  expect((await after.coral(['health'])).code).toBe(0);
  return seen;
}

/** What never leaves the laptop, or is refused by the colony before any tool is asked. */
export const laptopFaults: Fault[] = [
  {
    input: 'an unknown colony',
    see: alex(['health', '--colony', 'dmeo']),
    kind: 'not_found',
    reason: 'unknown_colony',
    exit: 1,
    next: /Did you mean demo\?/,
  },
  {
    input: 'a wrong token',
    see: alex(['health'], { env: { CORAL_TOKEN: 'coral_pat_abcdefghijkl_nonsense' } }),
    kind: 'unauthenticated',
    reason: 'token_invalid',
    exit: 4,
    next: /token/,
  },
  {
    input: 'the fingerprint of another CA',
    see: alex(['health'], { before: repin }),
    kind: 'unauthenticated',
    reason: 'wrong_ca',
    exit: 4,
    next: /fingerprint/,
  },
  {
    input: 'a TTL of 0',
    see: alex(['health', '--ephemeral-ttl', '0s']),
    kind: 'invalid_argument',
    reason: 'bad_ttl',
    exit: 2,
    next: /15m/,
  },
  {
    input: 'a TTL of -1',
    see: alex(['health', '--ephemeral-ttl=-1']),
    kind: 'invalid_argument',
    reason: 'bad_duration',
    exit: 2,
    next: /5m/,
  },
  {
    input: 'a TTL of 15m and one second',
    see: alex(['health', '--ephemeral-ttl', '15m1s']),
    kind: 'invalid_argument',
    reason: 'bad_ttl',
    exit: 2,
    next: /15m/,
  },
  {
    input: 'a TTL that is no duration',
    see: alex(['health', '--ephemeral-ttl', 'soon']),
    kind: 'invalid_argument',
    reason: 'bad_duration',
    exit: 2,
    next: /5m/,
  },
  {
    input: 'a fourth lease',
    see: fourthLease,
    kind: 'resource_exhausted',
    reason: 'too_many_leases',
    exit: 1,
    next: /coral colony ephemeral release/,
  },
  {
    input: 'an empty question',
    see: alex(['ask', '']),
    kind: 'invalid_argument',
    reason: 'empty_question',
    exit: 2,
    next: /coral ask "/,
  },
  {
    input: 'a question of 100 kB',
    see: alex(['ask', 'x'.repeat(100_000)]),
    kind: 'invalid_argument',
    reason: 'question_too_long',
    exit: 2,
    next: /fewer words/,
  },
  {
    input: 'no question and no terminal',
    see: alex(['ask']),
    kind: 'invalid_argument',
    reason: 'no_question',
    exit: 2,
    next: /coral ask -/,
  },
  {
    input: 'a configuration that others can read (0644)',
    see: alex(['health'], { before: (laptop) => chmod(laptop.config, 0o644) }),
    kind: 'failed_precondition',
    reason: 'config_not_private',
    exit: 78,
    next: /chmod 600 /,
  },
  {
    input: 'a configuration that is a link',
    see: alex(['health'], { before: replaceByLink }),
    kind: 'failed_precondition',
    reason: 'config_not_private',
    exit: 78,
    next: /0600/,
  },
  {
    input: 'env://UNSET as the token',
    see: alex(['health'], { env: { CORAL_TOKEN: '' } }),
    kind: 'failed_precondition',
    reason: 'secret_unset',
    exit: 78,
    next: /CORAL_TOKEN/,
  },
  {
    input: 'env://UNSET as the key of the provider',
    see: alex(['ask', 'Is anything wrong?'], { more: 'ai: {provider: openai, api_key: "env://UNSET"}\n' }),
    kind: 'failed_precondition',
    reason: 'secret_unset',
    exit: 78,
    next: /UNSET/,
  },
  {
    input: 'malformed YAML in config.yaml',
    see: alex(['health'], { more: 'ai: {\n' }),
    kind: 'failed_precondition',
    reason: 'bad_config',
    exit: 78,
    next: /config\.yaml/,
  },
  {
    input: 'a configured provider that cannot be used',
    see: alex(['ask', 'Is anything wrong?'], { more: 'ai: {provider: google}\n' }),
    kind: 'failed_precondition',
    reason: 'provider_unusable',
    exit: 78,
    next: /builtin/,
  },
  {
    input: '--offline with a provider elsewhere',
    see: alex(['ask', 'Is anything wrong?', '--offline', '--model', 'google']),
    kind: 'failed_precondition',
    reason: 'provider_not_local',
    exit: 78,
    next: /builtin/,
  },
  {
    input: 'an unknown flag',
    see: alex(['query', 'errors by service', '--time-rang', '1h']),
    kind: 'invalid_argument',
    reason: 'usage',
    exit: 2,
    next: /--time-range/,
  },
];
