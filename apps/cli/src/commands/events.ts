import { string } from '@oclif/core/flags';
import type { QueryEventsData, ToolEnvelope } from '@coral/tools';
import { colonyFlag, jsonFlag, ttlFlag } from '../flags.js';
import { ToolCommand } from '../tool-command.js';
import { eventsView } from '../view/events-view.js';

export default class Events extends ToolCommand {
  static override summary = 'Deployments, restarts, crashes and error spikes (coral_query_events)';
  static override examples = ['<%= config.bin %> events --event-type deploy --time-range 4h'];
  static override flags = {
    'event-type': string({
      description: 'Only this type',
      options: ['deploy', 'restart', 'crash', 'error_spike', 'alert'],
    }),
    'time-range': string({ description: 'Window up to now: 1h, 24h, 7d', helpValue: '<duration>' }),
    service: string({ description: 'Only this service', helpValue: '<name>' }),
    'ephemeral-ttl': ttlFlag,
    colony: colonyFlag,
    json: jsonFlag,
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(Events);
    await this.callTool({
      tool: 'coral_query_events',
      args: { event_type: flags['event-type'], time_range: flags['time-range'], service: flags.service },
      flags,
      view: (envelope, width) => eventsView(envelope as ToolEnvelope<QueryEventsData>, width),
    });
  }
}
