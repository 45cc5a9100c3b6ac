import * as Args from '@oclif/core/args';
import { CliCommand } from '../../cli-command.js';
import { jsonFlag } from '../../flags.js';

export default class ColonyUse extends CliCommand {
  static override summary = 'Make a colony the current one';
  static override examples = ['<%= config.bin %> colony use staging'];
  static override args = { id: Args.string({ required: true, description: 'Id of the colony' }) };
  static override flags = { json: jsonFlag };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ColonyUse);
    const { unknownColony } = await import('../../config/choose-colony.js');
    const known = (await this.loadConfig()).colonies.map(({ id }) => id);
    if (!known.includes(args.id)) throw unknownColony(args.id, known);
    const { setCurrentColony } = await import('../../config/edit-config.js');
    await setCurrentColony(this.paths.config, args.id);
    if (flags.json) this.printJson({ current_colony: args.id });
    else this.say(`The current colony is ${args.id}.`);
  }
}
