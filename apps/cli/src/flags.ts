import { parseDuration } from '@coral/model';
import { boolean, custom, string } from '@oclif/core/flags';
import type { Duration } from '@coral/model';

export const jsonFlag = boolean({ description: 'Print one JSON object on stdout, errors as JSON on stderr' });

export const colonyFlag = string({
  description: 'Colony to ask; default: the current one',
  env: 'CORAL_COLONY',
  helpValue: '<id>',
});

/** A duration such as 5m. The flag's own name is in the error. */
export function durationFlag(name: string, description: string) {
  return custom<Duration>({
    description,
    helpValue: '<duration>',
    parse: async (text) => parseDuration(text, `--${name}`),
  })();
}

export const ttlFlag = durationFlag(
  'ephemeral-ttl',
  'How long the lease may live; the colony has a default and a maximum',
);

export const adminSocketFlag = string({
  description: 'Socket of the colony for its administrator; default: $CORAL_HOME/colony/admin.sock',
  helpValue: '<path>',
});
