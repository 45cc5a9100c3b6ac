import { string } from '@oclif/core/flags';
import { CliCommand } from '../../../cli-command.js';
import { colonyFlag, jsonFlag } from '../../../flags.js';
import { leaseTable } from '../../../view/lists-view.js';

export default class EphemeralList extends CliCommand {
  static override summary = 'Who is on the mesh for a question, and for how long';
  static override description = "Your own leases; everybody's with the permission manage:leases.";
  static override examples = ['<%= config.bin %> colony ephemeral list --user alex'];
  static override flags = {
    user: string({ description: 'Only this user', helpValue: '<user-id>' }),
    colony: colonyFlag,
    json: jsonFlag,
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(EphemeralList);
    const colony = await this.chooseColony(await this.loadConfig(), flags.colony);
    const [{ openColony }, { tokenFor }] = await Promise.all([
      import('../../../colony/colony-api.js'),
      import('../../../config/colony-credentials.js'),
    ]);
    using api = await openColony(colony, await tokenFor(colony, this.paths.credentials));
    const leases = await api.listLeases(flags.user ?? '');
    if (flags.json) {
      const listed = leases.map(({ agentId, userId, createdAt, expiresAt, purpose }) => ({
        agent_id: agentId,
        user_id: userId,
        created_at: createdAt?.toISOString() ?? null,
        expires_at: expiresAt?.toISOString() ?? null,
        purpose,
      }));
      this.printJson({ agents: listed });
      return;
    }
    this.printLines(leaseTable(leases, this.clock.now(), this.width));
  }
}
