import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { planAi, type AiChange } from './edit-ai.js';

const anthropic: AiChange = { provider: 'anthropic', model: 'claude-sonnet-5-5', api_key: 'env://ANTHROPIC_API_KEY' };

describe('the ai block', () => {
  let directory: string;
  let file: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'coral-edit-ai-'));
    file = join(directory, 'config.yaml');
  });
  afterEach(() => rm(directory, { recursive: true }));
  const plan = async (text: string | undefined, change: AiChange) => {
    if (text !== undefined) await writeFile(file, text, { mode: 0o600 });
    return planAi(file, change);
  };

  it.each<[string, string | undefined, AiChange, string]>([
    [
      'is written into a new file',
      undefined,
      anthropic,
      'ai:\n  provider: "anthropic"\n  api_key: "env://ANTHROPIC_API_KEY"\n  model: "claude-sonnet-5-5"\n',
    ],
    [
      'goes after what is there, of which no byte changes',
      '# mine\ncolonies: [ {id:  a,   endpoint: "h:1"} ]   # odd\n\n\nephemeral:\n    default_ttl: "2m"',
      { provider: 'builtin' },
      '# mine\ncolonies: [ {id:  a,   endpoint: "h:1"} ]   # odd\n\n\nephemeral:\n    default_ttl: "2m"\nai:\n  provider: "builtin"\n',
    ],
    [
      'goes after comments alone',
      '# nothing yet\n',
      { provider: 'builtin' },
      '# nothing yet\nai:\n  provider: "builtin"\n',
    ],
    [
      'changes values where they stand, with the comments beside them',
      '# top\nai:\n    provider: "openai"     # mine\n    api_key: env://A  # key\n    # a remark\n    model: gpt-5.5\n    budget: {max_usd: 5}\ncolonies: []\n',
      { provider: 'openai', model: 'gpt-6.1-sol', api_key: 'env://B' },
      '# top\nai:\n    provider: "openai"     # mine\n    api_key: "env://B"  # key\n    # a remark\n    model: "gpt-6.1-sol"\n    budget: {max_usd: 5}\ncolonies: []\n',
    ],
    [
      'gets new keys after the ones they follow',
      'ai:\n  model: "m" # first\n  provider: openai\n\n  stream: false\n',
      { provider: 'openai', api_key: 'env://K', endpoint: 'https://u.example.com/v1', api: 'chat' },
      'ai:\n  model: "m" # first\n  endpoint: "https://u.example.com/v1"\n  api: "chat"\n  provider: openai\n  api_key: "env://K"\n\n  stream: false\n',
    ],
    [
      'loses what was for another provider, and keeps what is the user’s',
      'ai:\n  provider: anthropic # which\n  api_key: env://A\n  model: claude-sonnet-4.5\n  # warm\n  temperature: 0.7\n  max_tokens: 4096\n  stream: false\n  budget:\n    max_usd: 5\ncolonies: []\n',
      { provider: 'openai', model: 'gpt-5.5' },
      'ai:\n  provider: openai # which\n  model: "gpt-5.5"\n  # warm\n  stream: false\n  budget:\n    max_usd: 5\ncolonies: []\n',
    ],
    [
      'loses a key that is kept elsewhere from now on',
      'ai:\n  provider: openai\n  api_key: sk-literal\n  model: gpt-5.5\n',
      { provider: 'openai', api_key: null },
      'ai:\n  provider: openai\n  model: gpt-5.5\n',
    ],
    [
      'may be the last line, without an end',
      'colonies: []\nai:\n  provider: openai',
      { provider: 'openai', model: 'gpt-5.5' },
      'colonies: []\nai:\n  provider: openai\n  model: "gpt-5.5"\n',
    ],
    [
      'may be written in one line',
      '# mine\nai: {provider: openai, model: a, stream: false} # here\ncolonies: []\n',
      { provider: 'openai', model: 'b' },
      '# mine\nai: { provider: openai, model: b, stream: false } # here\ncolonies: []\n',
    ],
    [
      'may stand in a document of one line',
      '{ephemeral: {auto_cleanup: false}}\n',
      { provider: 'builtin' },
      '{ ephemeral: { auto_cleanup: false }, ai: { provider: builtin } }\n',
    ],
    [
      'may borrow a value from elsewhere',
      'current_colony: &name a # here\nai:\n  provider: openai\n  model: *name\n',
      { provider: 'openai', model: 'b' },
      'current_colony: &name a # here\nai:\n  provider: openai\n  model: b\n',
    ],
    [
      'may have Windows line ends',
      'ai:\r\n  provider: openai # x\r\n  model: a\r\n',
      { provider: 'openai', model: 'b' },
      'ai:\r\n  provider: openai # x\r\n  model: b\r\n',
    ],
  ])('%s', async (_what, before, change, after) => {
    const { text, ai } = await plan(before, change);
    expect(text).toBe(after);
    expect(ai.provider).toBe(change.provider);
    if (before !== undefined) expect(await readFile(file, 'utf8')).toBe(before);
  });

  it('says what goes with the former provider, and reads what will be there', async () => {
    const { ai, removed } = await plan('ai: {provider: anthropic, model: m, temperature: 1, stream: false}\n', {
      provider: 'openai',
    });
    expect(removed).toEqual(['model', 'temperature']);
    expect(ai).toMatchObject({ provider: 'openai', stream: false });
    expect(ai.model).toBeUndefined();
  });

  it.each([
    ['bad_config', 'nonsense: 1\n'],
    ['bad_config', 'ai: {provider: openai, model: [\n'],
  ])('is not planned while the file is wrong (%s)', async (reason, text) => {
    await expect(plan(text, anthropic)).rejects.toMatchObject({ kind: 'failed_precondition', reason });
  });

  it('is not planned in a file that is a link, or open to others', async () => {
    await writeFile(join(directory, 'real.yaml'), 'colonies: []\n', { mode: 0o600 });
    await symlink(join(directory, 'real.yaml'), file);
    await expect(planAi(file, anthropic)).rejects.toMatchObject({ reason: 'config_not_private' });
    await rm(file);
    await writeFile(file, 'colonies: []\n', { mode: 0o640 });
    await expect(planAi(file, anthropic)).rejects.toMatchObject({ reason: 'config_not_private' });
  });
});
