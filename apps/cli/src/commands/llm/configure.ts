import { boolean, string } from '@oclif/core/flags';
import type { ProbeResult } from '../../ask/probe-model.js';
import { CliCommand } from '../../cli-command.js';
import type { AiConfig } from '../../config/ai-config.js';
import type { ModelPlan } from '../../config/configure-model.js';
import type { FoundKey } from '../../config/model-keys.js';
import { jsonFlag } from '../../flags.js';
import { Interruption } from '../../interruption.js';

interface ConfigureFlags {
  provider?: string | undefined;
  'api-key'?: string | undefined;
  model?: string | undefined;
  endpoint?: string | undefined;
  api?: string | undefined;
  test: boolean;
  json: boolean;
}

export default class LlmConfigure extends CliCommand {
  static override summary = 'Choose the model that answers your questions, and say where its key is';
  static override description =
    'Writes the ai block of your config; comments and order stay. A key is a reference, or is typed or piped in and kept ' +
    'in credentials.yaml, never taken from the command line. With --test alone, tries what is configured.';
  static override examples = [
    '<%= config.bin %> llm configure --provider anthropic --api-key env://ANTHROPIC_API_KEY --model claude-sonnet-5-5',
    'pass openai/key | <%= config.bin %> llm configure --provider openai --api-key - --model gpt-5.5 --test',
    '<%= config.bin %> llm configure --provider openai --endpoint http://localhost:8000/v1 --model qwen3-32b',
  ];
  static override flags = {
    provider: string({ description: 'anthropic, openai or builtin', helpValue: '<name>' }),
    'api-key': string({
      description: 'Where the key is; - reads stdin; default: what there is',
      helpValue: 'env://NAME',
    }),
    model: string({ description: 'Name of the model, as the provider writes it', helpValue: '<model>' }),
    endpoint: string({ description: 'Address of another server that speaks its protocol', helpValue: '<url>' }),
    api: string({ description: 'Protocol of openai: responses or chat', helpValue: '<name>' }),
    test: boolean({ description: 'Have the model call a tool, before anything is written' }),
    json: jsonFlag,
  };
  // What does not belong here may be a key: it is refused without being repeated, which the parser would do.
  static override strict = false;

  async run(): Promise<void> {
    const { refuseKeysAndStrangers, refuseRest } = await import('../../config/refuse-keys.js');
    refuseKeysAndStrangers(this.argv, Object.keys(LlmConfigure.flags));
    const { flags, argv } = await this.parse(LlmConfigure);
    refuseRest(argv);
    const { refuseLiteral } = await import('../../config/read-secret.js');
    const { modelKeyWords } = await import('../../config/configure-model.js');
    refuseLiteral(flags['api-key'], modelKeyWords);
    const { ai } = await this.loadConfig();
    const changes = [flags.provider, flags['api-key'], flags.model, flags.endpoint, flags.api];
    if (flags.test && ai !== undefined && changes.every((value) => value === undefined)) {
      const { findKey } = await import('../../config/model-keys.js');
      const found = await findKey(ai, { credentials: this.paths.credentials, env: this.env });
      await this.#report(ai, found, flags, await this.#test(ai, found));
      return;
    }
    const plan = await this.#plan(flags, ai);
    const tested = flags.test ? await this.#test(plan.ai, plan.found) : undefined;
    const { writePlan } = await import('../../config/configure-model.js');
    await writePlan(plan, this.paths);
    this.#sayWritten(plan);
    await this.#report(plan.ai, plan.found, flags, tested, plan.removed);
  }

  async #plan(flags: ConfigureFlags, before: AiConfig | undefined): Promise<ModelPlan> {
    const [{ planModel }, { readProvider }] = await Promise.all([
      import('../../config/configure-model.js'),
      import('../../config/ask-provider.js'),
    ]);
    const provider = await readProvider(flags.provider, process, before?.provider);
    const request = {
      provider,
      apiKey: flags['api-key'],
      model: flags.model,
      endpoint: flags.endpoint,
      api: flags.api,
    };
    return planModel(request, before, { paths: this.paths, env: this.env, stdin: process.stdin });
  }

  /** Undefined for a provider without a model. */
  async #test(ai: AiConfig, found: FoundKey): Promise<ProbeResult | undefined> {
    const [{ openProvider }, { probeModel }, { priceFor }] = await Promise.all([
      import('../../ask/open-provider.js'),
      import('../../ask/probe-model.js'),
      import('../../ask/model-costs.js'),
    ]);
    const provider = await openProvider(ai, { credentials: this.paths.credentials, env: this.env, found });
    if (provider.name === 'builtin') return undefined;
    const price = provider.local ? undefined : await priceFor(ai);
    this.say(`Asking ${provider.model} to call a tool …`);
    using interruption = new Interruption();
    try {
      return await probeModel(provider, price, interruption.signal);
    } catch (thrown) {
      throw interruption.reason ?? thrown;
    }
  }

  #sayWritten({ ai, found, removed }: ModelPlan): void {
    const parts = [
      ai.model && `model ${ai.model}`,
      ai.endpoint && `at ${ai.endpoint}`,
      found.source && `key from ${found.source}`,
    ];
    const what = [ai.provider, ...parts.filter(Boolean)].join(', ');
    this.say(`Configured in ${this.paths.config}: ${what}.`);
    if (removed.length > 0) this.say(`Removed from the ai block: ${removed.join(', ')}.`);
  }

  async #report(
    ai: AiConfig,
    found: FoundKey,
    { test, json }: ConfigureFlags,
    tested: ProbeResult | undefined,
    removed: readonly string[] = [],
  ): Promise<void> {
    const { wireUsage } = await import('../../ask/answer-view.js');
    const { formatCost, formatUsage } = await import('../../ask/model-costs.js');
    const { adviceFor } = await import('../../ask/model-advice.js');
    for (const line of await adviceFor(ai, found, this.env)) this.say(line);
    if (json) {
      const { provider, model = null, endpoint = null, api = null } = ai;
      const result = tested && {
        ok: true,
        seconds: Math.round(tested.ms) / 1_000,
        usage: wireUsage(tested.conversation.usage),
        cost_usd: tested.conversation.costUsd,
      };
      const key = { source: found.source ?? null };
      this.printJson({ provider, model, endpoint, api, key, config: this.paths.config, removed, test: result ?? null });
      return;
    }
    if (!test) return;
    if (tested === undefined) {
      this.printLines([`ok: ${ai.provider} needs no model and no key`]);
      return;
    }
    const { usage, costUsd } = tested.conversation;
    const facts = [formatUsage(usage), formatCost(costUsd), `${(tested.ms / 1_000).toFixed(1)} s`];
    this.printLines([`ok: ${ai.model} called the tool and answered · ${facts.join(' · ')}`]);
  }
}
