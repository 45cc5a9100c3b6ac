import * as Args from '@oclif/core/args';
import { CliCommand } from '../../../cli-command.js';
import { colonyFlag, jsonFlag } from '../../../flags.js';

export default class EphemeralRelease extends CliCommand {
  static override summary = 'End a lease before its time';
  static override description =
    "Your own leases; everybody's with the permission manage:leases. A lease that is over already counts as released.";
  static override examples = ['<%= config.bin %> colony ephemeral release eph-abcdefghijklmnop'];
  static override args = {
    agent_id: Args.string({ required: true, description: 'Lease, as coral colony ephemeral list shows it' }),
  };
  static override flags = { colony: colonyFlag, json: jsonFlag };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(EphemeralRelease);
    const colony = await this.chooseColony(await this.loadConfig(), flags.colony);
    const [{ openColony }, { tokenFor }] = await Promise.all([
      import('../../../colony/colony-api.js'),
      import('../../../config/colony-credentials.js'),
    ]);
    using api = await openColony(colony, await tokenFor(colony, this.paths.credentials));
    await api.releaseAccess(args.agent_id);
    if (flags.json) this.printJson({ agent_id: args.agent_id, released: true });
    else this.say(`The lease ${args.agent_id} is released.`);
  }
}
