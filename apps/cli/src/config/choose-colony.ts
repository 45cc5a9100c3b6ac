import { nearest } from '@coral/config';
import { CoralError } from '@coral/errors';
import type { CliConfig, ColonyEntry } from './cli-config.js';

/** A colony whose CA is known: nothing is sent to one that is not. */
export type PinnedColony = ColonyEntry & { ca_fingerprint: string };

/** `asked` (flag or CORAL_COLONY) beats `current_colony` beats the only one there is. */
export function chooseColony(config: CliConfig, asked: string | undefined, configFile: string): PinnedColony {
  const known = config.colonies.map(({ id }) => id);
  const only = known.length === 1 ? known[0] : undefined;
  const wanted = asked ?? config.current_colony ?? only;
  if (known.length === 0 && asked === undefined) throw noColony(configFile);
  if (wanted === undefined) throw whichColony(known);
  const colony = config.colonies.find(({ id }) => id === wanted);
  if (!colony) throw unknownColony(wanted, known);
  return pinned(colony);
}

function pinned(colony: ColonyEntry): PinnedColony {
  if (colony.ca_fingerprint !== undefined) return { ...colony, ca_fingerprint: colony.ca_fingerprint };
  throw new CoralError({
    kind: 'failed_precondition',
    reason: 'colony_not_pinned',
    where: colony.id,
    message: `The config has no ca_fingerprint for the colony ${colony.id}, so its answers could be anybody's.`,
    next: `Ask its administrator for the fingerprint, then: coral colony add ${colony.id} ${colony.endpoint} --ca-fingerprint sha256:…`,
  });
}

function noColony(configFile: string): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'no_colony',
    where: configFile,
    message: 'No colony is configured.',
    next: 'coral colony add <id> <host:port> --ca-fingerprint sha256:… (your administrator has all three)',
  });
}

function whichColony(known: readonly string[]): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'which_colony',
    where: '--colony',
    message: `There are ${known.length} colonies and none is the current one: ${known.join(', ')}.`,
    next: `coral colony use ${known[0] ?? '<id>'}, or give --colony <id>`,
  });
}

export function unknownColony(wanted: string, known: readonly string[]): CoralError {
  const close = nearest(wanted, known);
  return new CoralError({
    kind: 'not_found',
    reason: 'unknown_colony',
    where: wanted,
    message: `There is no colony ${JSON.stringify(wanted)} in the config.`,
    next: close
      ? `Did you mean ${close}? All: ${known.join(', ')}.`
      : `Known colonies: ${known.join(', ') || 'none'}. Add one: coral colony add <id> <host:port> --ca-fingerprint sha256:…`,
  });
}
