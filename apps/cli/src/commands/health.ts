import { string } from '@oclif/core/flags';
import type { GetHealthData, ToolEnvelope } from '@coral/tools';
import { colonyFlag, jsonFlag, ttlFlag } from '../flags.js';
import { ToolCommand } from '../tool-command.js';
import { healthView } from '../view/health-view.js';

export default class Health extends ToolCommand {
  static override summary = 'How the services are now, worst first, and why (coral_get_health)';
  static override examples = ['<%= config.bin %> health', '<%= config.bin %> health --service-filter "pay*"'];
  static override flags = {
    'service-filter': string({ description: 'Only services of this name pattern', helpValue: '<pattern>' }),
    'ephemeral-ttl': ttlFlag,
    colony: colonyFlag,
    json: jsonFlag,
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(Health);
    await this.callTool({
      tool: 'coral_get_health',
      args: { service_filter: flags['service-filter'] },
      flags,
      view: (envelope, width) => healthView(envelope as ToolEnvelope<GetHealthData>, width),
    });
  }
}
