import type { Secret } from '@coral/config';
import { CoralError } from '@coral/errors';
import { usualKeyVariable, type ProviderName } from '@coral/llm';
import { endpointField, modelName, type AiConfig } from './ai-config.js';
import type { CliPaths } from './cli-paths.js';
import { planAi, type AiChange, type PlannedEdit } from './edit-ai.js';
import { checkWay, findKey, isSameOwner, keepModelKey, needsKey, type FoundKey, type KeyOwner } from './model-keys.js';
import { writePrivateFile } from './private-file.js';
import { noSecret, readSecret, type SecretInput, type SecretWords } from './read-secret.js';

/** What `llm configure` was told. */
export interface ModelRequest {
  provider: ProviderName;
  apiKey?: string | undefined;
  model?: string | undefined;
  endpoint?: string | undefined;
  api?: string | undefined;
}

/** What will be written, when somebody says so. */
export interface ModelPlan extends PlannedEdit {
  /** The key that the model will get. */
  found: FoundKey;
  /** One that was typed or piped in, for the credentials file. */
  keep?: Secret;
}

export interface PlanOptions {
  paths: Pick<CliPaths, 'config' | 'credentials'>;
  env: NodeJS.ProcessEnv;
  stdin: SecretInput;
}

export const modelKeyWords: SecretWords = { what: 'API key', flag: '--api-key', reason: 'no_key_given' };

/**
 * Reads the key if one is wanted, and plans the edit; nothing is written. Errors: invalid_argument for what was told wrongly;
 * failed_precondition for a file that is wrong, or `insecure_endpoint`.
 */
export async function planModel(
  request: ModelRequest,
  before: AiConfig | undefined,
  { paths, env, stdin }: PlanOptions,
): Promise<ModelPlan> {
  const change = changeOf(request);
  const same = before?.provider === request.provider ? before : undefined;
  const owner: KeyOwner = { provider: request.provider, endpoint: change.endpoint ?? same?.endpoint };
  // A key that was given for one server is not another's.
  const api_key = same !== undefined && isSameOwner(same, owner) ? same.api_key : undefined;
  const { reference, ...chosen } = await chooseKey(request.apiKey, { ...owner, api_key }, { paths, env, stdin });
  checkWay(owner, chosen.found);
  if (reference !== undefined) change.api_key = reference;
  else if (same?.api_key !== undefined && same.api_key !== chosen.found.key) change.api_key = null;
  return { ...(await planAi(paths.config, change)), ...chosen };
}

/** First the key: a config that names a model whose key was not kept would be of no use. */
export async function writePlan({ keep, ai, text }: ModelPlan, paths: PlanOptions['paths']): Promise<void> {
  if (keep !== undefined) await keepModelKey(paths.credentials, ai, keep);
  await writePrivateFile(paths.config, text);
}

function changeOf({ provider, apiKey, model, endpoint, api }: ModelRequest): AiChange {
  if (provider === 'builtin') {
    const given = Object.entries({ '--api-key': apiKey, '--model': model, '--endpoint': endpoint, '--api': api });
    const extra = given.find(([, value]) => value !== undefined)?.[0];
    if (extra !== undefined) throw badFlag(extra, 'the provider builtin has no model and needs no key');
  }
  if (api !== undefined && provider !== 'openai') throw badFlag('--api', `${provider} has one protocol only`);
  if (api !== undefined && api !== 'responses' && api !== 'chat') throw badFlag('--api', 'it is responses or chat');
  return {
    provider,
    ...(model === undefined ? {} : { model: checked(modelName, model, '--model') }),
    ...(endpoint === undefined ? {} : { endpoint: checked(endpointField, endpoint, '--endpoint') }),
    ...(api === undefined ? {} : { api }),
  };
}

interface ChosenKey {
  found: FoundKey;
  keep?: Secret;
  reference?: string;
}

async function chooseKey(
  flag: string | undefined,
  owner: KeyOwner,
  { paths, env, stdin }: PlanOptions,
): Promise<ChosenKey> {
  if (flag === undefined) {
    const found = await findKey(owner, { credentials: paths.credentials, env });
    if (found.key !== undefined || !needsKey(owner)) return { found };
    if (!stdin.isTTY) throw noKey(owner.provider);
  }
  const { secret, reference } = await readSecret(flag, stdin, modelKeyWords);
  if (reference !== undefined) return { found: { key: secret, source: reference }, reference };
  // A header takes no more than this; and what has spaces in it is something else that was pasted.
  if (!/^[\x21-\x7e]+$/.test(secret.reveal()))
    throw badFlag('--api-key', 'a key has no spaces and only ASCII characters');
  return { found: { key: secret, source: 'credentials.yaml' }, keep: secret };
}

function noKey(provider: ProviderName): CoralError {
  const { kind, reason, where, message } = noSecret(modelKeyWords);
  const variable = usualKeyVariable(provider) ?? 'NAME';
  const next = `Give --api-key env://${variable}, or pipe the key in: … | coral llm configure --provider ${provider} --api-key -`;
  return new CoralError({ kind, reason, where, message, next });
}

function checked<T>(
  field: {
    safeParse(
      value: unknown,
    ): { success: true; data: T } | { success: false; error: { issues: { message: string }[] } };
  },
  value: string,
  flag: string,
): T {
  const parsed = field.safeParse(value);
  if (parsed.success) return parsed.data;
  throw badFlag(flag, parsed.error.issues[0]?.message ?? 'it cannot be read');
}

/** The value is not repeated: it may be a key in the wrong place. */
export function badFlag(flag: string, why: string): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'bad_argument',
    where: flag,
    message: `${flag}: ${why}.`,
    next: 'coral llm configure --help shows examples.',
  });
}
