import { CliCommand } from '../../cli-command.js';
import { jsonFlag } from '../../flags.js';
import { renderTable } from '../../view/table.js';

export default class ColonyList extends CliCommand {
  static override summary = 'Colonies in the config';
  static override flags = { json: jsonFlag };

  async run(): Promise<void> {
    const { flags } = await this.parse(ColonyList);
    const { colonies, current_colony: current } = await this.loadConfig();
    const only = colonies.length === 1;
    const listed = colonies.map(({ id, endpoint, ca_fingerprint, token }) => ({
      id,
      endpoint,
      current: id === current || (only && current === undefined),
      pinned: ca_fingerprint !== undefined,
      token: token?.source ?? 'credentials.yaml',
    }));
    if (flags.json) {
      this.printJson({ colonies: listed });
      return;
    }
    if (listed.length === 0) {
      this.say('No colony is configured. Add one: coral colony add <id> <host:port> --ca-fingerprint sha256:…');
      return;
    }
    const rows = listed.map(({ id, endpoint, current: isCurrent, pinned, token }) => [
      isCurrent ? '*' : '',
      id,
      endpoint,
      pinned ? 'yes' : 'no',
      token,
    ]);
    const columns = ['', 'Colony', 'Endpoint', 'Pinned', 'Token'].map((title) => ({ title }));
    this.printLines(renderTable(columns, rows, this.width));
  }
}
