import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { CoralError, exitCodeFor, toCoralError } from '@coral/errors';
import { loadColonyConfig, parseColonyConfig } from './colony.config.js';
import type { ColonyConfig } from './colony.config.js';
import { Colony } from './colony.js';
import { openBootClock } from './control/boot-clock.js';
import { describe, JsonLogger } from './edge/json-logger.js';
import { version } from './version.js';

const usage =
  'Usage: colony [--config FILE]   (default: $CORAL_HOME/colony/colony.yaml, else ~/.coral/colony/colony.yaml)';

const clock = openBootClock();
const logger = new JsonLogger(clock);

/** `undefined`: everything was said already. */
function configFile(): { file: string; chosen: boolean } | undefined {
  try {
    const { values } = parseArgs({
      options: { config: { type: 'string' }, help: { type: 'boolean' }, version: { type: 'boolean' } },
    });
    if (values.help === true || values.version === true) {
      process.stdout.write(`${values.version === true ? version : usage}\n`);
      return undefined;
    }
    const home = process.env['CORAL_HOME'] || join(process.env['HOME'] ?? '', '.coral');
    const file = values.config ?? join(home, 'colony', 'colony.yaml');
    return { file: resolve(file), chosen: values.config !== undefined };
  } catch (thrown) {
    const problem = thrown instanceof Error ? thrown.message : String(thrown);
    throw new CoralError({ kind: 'invalid_argument', reason: 'bad_usage', message: problem, next: usage });
  }
}

/** A file that was named must be there; the default one need not. */
async function readConfig({ file, chosen }: { file: string; chosen: boolean }): Promise<ColonyConfig> {
  if (!chosen && !existsSync(file)) return parseColonyConfig('{}', file, process.env);
  return await loadColonyConfig(file, process.env);
}

/** Says what is wrong in one line of the log, and exits as the error table says. */
function fail(thrown: unknown): never {
  const error = toCoralError(thrown);
  const { kind, reason, where, next } = error;
  const detail = kind === 'internal' ? describe(thrown) : undefined;
  logger.say('error', error.message, { kind, reason, where, next, error: detail });
  process.exit(exitCodeFor(kind));
}

/** The second signal ends the process at once: the first may be waiting for a call that hangs. */
function stopOnSignals(colony: Colony): void {
  let stopping = false;
  const stop = (signal: NodeJS.Signals): void => {
    if (stopping) process.exit(exitCodeFor('internal'));
    stopping = true;
    logger.say('info', 'stopping', { signal });
    colony.stop(signal).then(() => process.exit(0), fail);
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}

// After a bug nothing in memory can be trusted; what is on disk was written to survive exactly this.
process.on('uncaughtException', fail);
// Node's own way to warn is not JSON.
process.removeAllListeners('warning');
process.on('warning', (warning) => logger.say('warn', warning.message, { name: warning.name }));

try {
  const chosen = configFile();
  if (chosen !== undefined) {
    const colony = await Colony.start({ config: await readConfig(chosen), clock, logger });
    stopOnSignals(colony);
    // Without its mesh a colony answers nobody: whoever started it shall start it again.
    void colony.lost.then(fail);
    process.stdout.write(`${JSON.stringify(colony.ready)}\n`);
    logger.say('info', 'ready', { ...colony.ready, version });
  }
} catch (thrown) {
  fail(thrown);
}
