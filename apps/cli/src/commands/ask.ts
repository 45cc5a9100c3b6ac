import * as Args from '@oclif/core/args';
import { boolean, string } from '@oclif/core/flags';
import { exitCodeFor } from '@coral/errors';
import type { Duration } from '@coral/model';
import type { AnswerView } from '../ask/answer-view.js';
import type { ProviderChoice } from '../ask/choose-provider.js';
import { CliCommand } from '../cli-command.js';
import type { PinnedColony } from '../config/choose-colony.js';
import type { CliConfig } from '../config/cli-config.js';
import { colonyFlag, jsonFlag, ttlFlag } from '../flags.js';
import { Interruption } from '../interruption.js';

interface AskFlags {
  colony?: string | undefined;
  json: boolean;
  stream?: boolean | undefined;
  transcript?: string | undefined;
  share: boolean;
  'ephemeral-ttl'?: Duration | undefined;
}

export default class Ask extends CliCommand {
  static override summary = 'Ask production a question';
  static override description =
    'Your own model (or none: the provider builtin) looks at telemetry through a lease that lives for this question. ' +
    'The answer goes to stdout, everything else to stderr.';
  static override examples = [
    '<%= config.bin %> ask "Why is orders slow?"',
    '<%= config.bin %> ask "What was deployed today?" --transcript today.json',
    '<%= config.bin %> ask "Is anything failing?" --json | jq .verdict',
    '<%= config.bin %> ask "Why is orders slow?" --model claude-sonnet-5-5',
  ];
  static override args = {
    question: Args.string({ description: 'The question; - reads it from stdin' }),
  };
  static override flags = {
    model: string({
      description: 'Provider, model, or provider:model instead of the configured one',
      helpValue: '<model>',
    }),
    stream: boolean({ description: 'Print the answer as it comes (default), or whole at its end', allowNo: true }),
    transcript: string({ description: 'Save the conversation to this file, mode 0600', helpValue: '<file>' }),
    share: boolean({ description: 'Give the conversation to the colony to keep (if it keeps transcripts)' }),
    'ephemeral-ttl': ttlFlag,
    offline: boolean({ description: 'Join nothing; answer from kept transcripts or not at all' }),
    colony: colonyFlag,
    json: jsonFlag,
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Ask);
    const [{ readQuestion }, { chooseProvider }] = await Promise.all([
      import('../ask/question.js'),
      import('../ask/choose-provider.js'),
    ]);
    const question = await readQuestion({ argument: args.question, stdin: process.stdin });
    const config = await this.loadConfig();
    const choice = chooseProvider(config.ai, flags.model);
    if (flags.offline) await this.#answerOffline(question, choice, flags);
    else await this.#ask(question, config, choice, flags);
  }

  async #ask(question: string, config: CliConfig, choice: ProviderChoice, flags: AskFlags): Promise<void> {
    const started = this.clock.monotonic();
    const colony = await this.chooseColony(config, flags.colony);
    const [{ openProvider }, { priceFor, toBudget }, { runAsk, isPartialAnswer }, { AnswerView }, { toTranscript }] =
      await Promise.all([
        import('../ask/open-provider.js'),
        import('../ask/model-costs.js'),
        import('../ask/ask-session.js'),
        import('../ask/answer-view.js'),
        import('../ask/to-transcript.js'),
      ]);
    const provider = await openProvider(choice.config, { credentials: this.paths.credentials, env: this.env });
    const price = provider.local ? undefined : await priceFor(choice.config);
    const streams = flags.stream ?? choice.config.stream;
    const mode = flags.json ? 'json' : streams ? 'stream' : 'whole';
    const view = new AnswerView({ stdout: process.stdout, stderr: process.stderr, mode });
    await this.#sayFirst(choice, view, !provider.local && price === undefined);
    using interruption = new Interruption();
    try {
      const outcome = await runAsk({
        question,
        provider,
        budget: toBudget(choice.config),
        price,
        session: {
          colony,
          credentialsFile: this.paths.credentials,
          purpose: 'coral ask',
          ttl: flags['ephemeral-ttl'] ?? config.ephemeral.default_ttl,
          autoCleanup: config.ephemeral.auto_cleanup,
          clock: this.clock,
          signal: interruption.signal,
          onReconnect: () => view.say('Reconnecting…'),
        },
        onEvent: (event) => view.onEvent(event),
        onOpen: (session) => {
          interruption.lastGrasp = () => session.close();
        },
      });
      view.finish(question, outcome, this.clock.monotonic() - started);
      const transcript = toTranscript({ question, outcome, provider, colony: colony.id, now: this.clock.now() });
      await this.#keep(transcript, flags.transcript);
      const { failure } = outcome.conversation;
      if (flags.share && failure) this.say('Not shared: the model broke off.');
      else if (flags.share) await this.#share(transcript, colony);
      if (interruption.reason) throw interruption.reason;
      if (failure) throw failure;
      if (isPartialAnswer(outcome)) process.exitCode = exitCodeFor('partial');
    } catch (thrown) {
      view.breakOff();
      throw interruption.reason ?? thrown;
    }
  }

  /** What somebody should know before a question leaves the machine. */
  async #sayFirst({ config, byDefault }: ProviderChoice, view: AnswerView, costUnknown: boolean): Promise<void> {
    const say = (line: string) => view.say(line);
    if (byDefault) {
      say(
        `No ai block in ${this.paths.config}: using the provider builtin (no model, no key). To use your own model: coral llm configure`,
      );
    }
    const { sayCloudNotice } = await import('../ask/cloud-notice.js');
    await sayCloudNotice(config, { file: this.paths.notices, clock: this.clock, say });
    if (costUnknown) {
      const { formatCost } = await import('../ask/model-costs.js');
      say(
        `The price of ${config.model} is not known, so ai.budget.max_usd (${formatCost(config.budget.max_usd)}) cannot be watched; ai.prices in ${this.paths.config} can name it.`,
      );
    }
  }

  /** The file the user named must be written; the copy for --offline is worth a line, not a failure. */
  async #keep(transcript: import('../ask/transcript.js').Transcript, file: string | undefined): Promise<void> {
    const { keepTranscript, saveTranscript } = await import('../ask/transcript.js');
    if (file !== undefined) await saveTranscript(file, transcript);
    await keepTranscript(this.paths.transcripts, transcript).catch((thrown: unknown) => {
      const why = (thrown as NodeJS.ErrnoException).code ?? 'unknown error';
      this.say(`No copy of this conversation was kept in ${this.paths.transcripts}: ${why}.`);
    });
  }

  /** Only when asked for: the answer has been given already, so a colony that does not keep it is told as an error. */
  async #share(transcript: import('../ask/transcript.js').Transcript, colony: PinnedColony): Promise<void> {
    const [{ openColony }, { tokenFor }] = await Promise.all([
      import('../colony/colony-api.js'),
      import('../config/colony-credentials.js'),
    ]);
    using api = await openColony(colony, await tokenFor(colony, this.paths.credentials));
    await api.storeTranscript({
      agentId: transcript.agent_id,
      question: transcript.question,
      answer: transcript.answer,
      llmProvider: transcript.provider,
      llmModel: transcript.model,
      toolCallsJson: JSON.stringify(transcript.tool_calls),
      tokensInput: transcript.usage.input_tokens,
      tokensOutput: transcript.usage.output_tokens,
    });
    this.say(`Shared with ${colony.id}.`);
  }

  async #answerOffline(question: string, { config }: ProviderChoice, flags: AskFlags): Promise<void> {
    const [{ answerOffline, refuseRemote }, { isOnThisMachine }] = await Promise.all([
      import('../ask/offline.js'),
      import('@coral/llm'),
    ]);
    if (!isOnThisMachine(config)) throw refuseRemote(config.provider);
    const from = { file: flags.transcript, directory: this.paths.transcripts };
    const { transcript, label, ageMs } = await answerOffline(question, from, this.clock);
    if (flags.json) {
      const { answer, verdict, cause, evidence, agent_id, asked_at, colony, partial } = transcript;
      this.printJson({
        question,
        answer,
        verdict,
        cause,
        evidence,
        agent_id,
        partial,
        offline: { asked_at, colony, age_ms: ageMs },
      });
      return;
    }
    const { visible } = await import('../view/visible.js');
    this.say(label);
    this.printLines([visible(transcript.answer)]);
  }
}
