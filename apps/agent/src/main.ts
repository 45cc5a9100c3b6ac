import { parseArgs } from 'node:util';
import { CoralError, exitCodeFor, toCoralError } from '@coral/errors';
import { systemClock } from '@coral/model';
import { loadAgentConfig } from './agent.config.js';
import { startAgent } from './agent.js';
import { AgentLog, describeError } from './log.js';
import { agentVersion } from './version.js';

const usage = 'Usage: coral-agent --config <file>   (or CORAL_AGENT_CONFIG=<file>)\n';

const options = { config: { type: 'string' }, version: { type: 'boolean' }, help: { type: 'boolean' } } as const;

function configFile(): string {
  const { values } = readArguments();
  if (values.version === true) {
    process.stdout.write(`${agentVersion}\n`);
    process.exit(0);
  }
  if (values.help === true) {
    process.stdout.write(usage);
    process.exit(0);
  }
  const file = values.config ?? process.env['CORAL_AGENT_CONFIG'];
  if (file !== undefined) return file;
  throw new CoralError({
    kind: 'invalid_argument',
    reason: 'config_not_named',
    message: 'No configuration file was named.',
    next: usage.trim(),
  });
}

function readArguments() {
  try {
    return parseArgs({ options });
  } catch (cause) {
    throw new CoralError({
      kind: 'invalid_argument',
      reason: 'bad_arguments',
      message: cause instanceof Error ? cause.message : String(cause),
      next: usage.trim(),
      cause,
    });
  }
}

const log = new AgentLog(() => systemClock.now());
const stopRequested = new AbortController();
for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stopRequested.abort());

try {
  const config = await loadAgentConfig(configFile());
  const { signal } = stopRequested;
  const agent = await startAgent(config, { clock: systemClock, log, env: process.env, signal });
  process.stdout.write(`${JSON.stringify(agent.ready)}\n`);
  const asked = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
  // Without its mesh an agent is no use to its colony: whoever started it shall start it again.
  const lost = signal.aborted ? undefined : await Promise.race([asked, agent.link.lost]);
  if (lost) throw lost;
  log.info('stopping');
  await agent.stop();
  process.exit(0);
} catch (thrown) {
  if (stopRequested.signal.aborted) process.exit(0);
  const error = toCoralError(thrown);
  log.error('the agent cannot run', {
    ...describeError(thrown),
    kind: error.kind,
    next: error.next,
    where: error.where,
  });
  process.exit(exitCodeFor(error.kind));
}
