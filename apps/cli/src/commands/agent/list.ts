import { CliCommand } from '../../cli-command.js';
import { adminSocketFlag, jsonFlag } from '../../flags.js';
import { agentTable } from '../../view/lists-view.js';

export default class AgentList extends CliCommand {
  static override summary = "Agents that have joined (on the colony's machine)";
  static override flags = { 'admin-socket': adminSocketFlag, json: jsonFlag };

  async run(): Promise<void> {
    const { flags } = await this.parse(AgentList);
    const { openAdmin } = await import('../../colony/admin-api.js');
    using admin = await openAdmin(flags['admin-socket'] ?? this.paths.adminSocket);
    const agents = await admin.listAgents();
    if (!flags.json) {
      this.printLines(agentTable(agents, this.clock.now(), this.width));
      return;
    }
    const listed = agents.map(({ agentId, enrolledAt, lastSeenAt, ...rest }) => ({
      agent_id: agentId,
      ...rest,
      enrolled_at: enrolledAt?.toISOString() ?? null,
      last_seen_at: lastSeenAt?.toISOString() ?? null,
    }));
    this.printJson({ agents: listed });
  }
}
