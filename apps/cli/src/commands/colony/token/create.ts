import { string } from '@oclif/core/flags';
import { CliCommand } from '../../../cli-command.js';
import { adminSocketFlag, durationFlag, jsonFlag } from '../../../flags.js';

export default class TokenCreate extends CliCommand {
  static override summary = "Make an API token for a person (on the colony's machine)";
  static override description = 'The token is printed once, on stdout; the colony keeps only its hash.';
  static override examples = ['<%= config.bin %> colony token create --user alex --ttl 30d'];
  static override flags = {
    user: string({ required: true, description: 'Whom it stands for', helpValue: '<user-id>' }),
    ttl: durationFlag('ttl', 'How long it is good for; default: 30d'),
    note: string({ description: 'Shown in lists', default: '' }),
    'admin-socket': adminSocketFlag,
    json: jsonFlag,
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(TokenCreate);
    const { openAdmin } = await import('../../../colony/admin-api.js');
    using admin = await openAdmin(flags['admin-socket'] ?? this.paths.adminSocket);
    const { tokenId, token, expiresAt } = await admin.createApiToken({
      userId: flags.user,
      ttl: flags.ttl,
      note: flags.note,
    });
    if (flags.json) {
      this.printJson({ token_id: tokenId, token, user_id: flags.user, expires_at: expiresAt?.toISOString() ?? null });
      return;
    }
    this.say(
      `Token ${tokenId} for ${flags.user}, good until ${expiresAt?.toISOString() ?? 'it is revoked'}. It is shown once:`,
    );
    this.printLines([token]);
  }
}
