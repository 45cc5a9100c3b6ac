import { string } from '@oclif/core/flags';
import type { GetTopologyData, ToolEnvelope } from '@coral/tools';
import { colonyFlag, jsonFlag, ttlFlag } from '../flags.js';
import { ToolCommand } from '../tool-command.js';
import { topologyView } from '../view/topology-view.js';

export default class Topology extends ToolCommand {
  static override summary = 'Who calls whom, and how fast (coral_get_topology)';
  static override examples = [
    '<%= config.bin %> topology',
    '<%= config.bin %> topology --format graphviz | dot -Tsvg > topology.svg',
  ];
  static override flags = {
    format: string({
      description: 'json draws a table here; graphviz prints text for dot',
      options: ['json', 'graphviz'],
    }),
    'time-range': string({ description: 'Window up to now: 1h, 24h, 7d', helpValue: '<duration>' }),
    'ephemeral-ttl': ttlFlag,
    colony: colonyFlag,
    json: jsonFlag,
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(Topology);
    await this.callTool({
      tool: 'coral_get_topology',
      args: { format: flags.format, time_range: flags['time-range'] },
      flags,
      view: (envelope, width) => topologyView(envelope as ToolEnvelope<GetTopologyData>, width),
    });
  }
}
