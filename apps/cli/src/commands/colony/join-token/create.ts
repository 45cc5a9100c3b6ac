import { string } from '@oclif/core/flags';
import { CoralError } from '@coral/errors';
import { CliCommand } from '../../../cli-command.js';
import { adminSocketFlag, durationFlag, jsonFlag } from '../../../flags.js';

export default class JoinTokenCreate extends CliCommand {
  static override summary = "Make a token with which one agent joins (on the colony's machine)";
  static override description = 'It works once, and fixes the owner and the labels of the agent that uses it.';
  static override examples = [
    '<%= config.bin %> colony join-token create --owner group:orders --label region=eu --ttl 1h',
  ];
  static override flags = {
    owner: string({ required: true, description: 'User, or group:name', helpValue: '<owner>' }),
    label: string({ description: 'May be given many times', multiple: true, default: [], helpValue: '<key=value>' }),
    ttl: durationFlag('ttl', 'How long it waits to be used; default: 1h'),
    'admin-socket': adminSocketFlag,
    json: jsonFlag,
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(JoinTokenCreate);
    const labels = Object.fromEntries(flags.label.map(readLabel));
    const { openAdmin } = await import('../../../colony/admin-api.js');
    using admin = await openAdmin(flags['admin-socket'] ?? this.paths.adminSocket);
    const { joinToken, expiresAt } = await admin.createJoinToken({ owner: flags.owner, labels, ttl: flags.ttl });
    if (flags.json) {
      this.printJson({
        join_token: joinToken,
        owner: flags.owner,
        labels,
        expires_at: expiresAt?.toISOString() ?? null,
      });
      return;
    }
    this.say(`For one agent of ${flags.owner}, until ${expiresAt?.toISOString() ?? 'it is used'}. It is shown once:`);
    this.printLines([joinToken]);
  }
}

function readLabel(text: string): [string, string] {
  const equals = text.indexOf('=');
  if (equals > 0) return [text.slice(0, equals), text.slice(equals + 1)];
  throw new CoralError({
    kind: 'invalid_argument',
    reason: 'bad_label',
    where: '--label',
    message: `${JSON.stringify(text)} is not a label.`,
    next: 'Write --label key=value.',
  });
}
