import * as Args from '@oclif/core/args';
import type { FetchLiveData, ToolEnvelope } from '@coral/tools';
import { colonyFlag, jsonFlag, ttlFlag } from '../flags.js';
import { ToolCommand } from '../tool-command.js';
import { liveView } from '../view/live-view.js';

export default class Live extends ToolCommand {
  static override summary = "SELECT over one agent's newest spans (coral_fetch_live)";
  static override examples = ['<%= config.bin %> live agt-abc "SELECT route, count(*) AS n FROM spans GROUP BY route"'];
  static override args = {
    agent_id: Args.string({ required: true, description: 'Agent, as coral agent list shows it' }),
    sql_query: Args.string({ required: true, description: 'One SELECT over the view spans' }),
  };
  static override flags = { 'ephemeral-ttl': ttlFlag, colony: colonyFlag, json: jsonFlag };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Live);
    await this.callTool({
      tool: 'coral_fetch_live',
      args: { agent_id: args.agent_id, sql_query: args.sql_query },
      flags,
      view: (envelope, width) => liveView(envelope as ToolEnvelope<FetchLiveData>, width),
    });
  }
}
