import * as Args from '@oclif/core/args';
import { string } from '@oclif/core/flags';
import type { QueryData, ToolEnvelope } from '@coral/tools';
import { colonyFlag, jsonFlag, ttlFlag } from '../flags.js';
import { ToolCommand } from '../tool-command.js';
import { queryView } from '../view/query-view.js';

export default class Query extends ToolCommand {
  static override summary = 'Latency, errors and traffic from aggregated telemetry (coral_query)';
  static override examples = [
    '<%= config.bin %> query "orders latency, last 1h"',
    '<%= config.bin %> query "errors by service" --time-range 24h',
    '<%= config.bin %> query "orders deployments, last 4h" --json',
  ];
  static override args = {
    query: Args.string({ required: true, description: 'Question in words, or SELECT over the published views' }),
  };
  static override flags = {
    scope: string({ description: 'Service or agent', helpValue: '<name>' }),
    'time-range': string({ description: 'Window up to now: 1h, 24h, 7d', helpValue: '<duration>' }),
    'ephemeral-ttl': ttlFlag,
    colony: colonyFlag,
    json: jsonFlag,
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Query);
    await this.callTool({
      tool: 'coral_query',
      args: { query: args.query, scope: flags.scope, time_range: flags['time-range'] },
      flags,
      view: (envelope, width) => queryView(envelope as ToolEnvelope<QueryData>, width),
    });
  }
}
