import { parseDuration } from '@coral/model';
import { CliCommand } from '../../cli-command.js';
import { colonyFlag, durationFlag } from '../../flags.js';
import { Interruption } from '../../interruption.js';
import { visibleLine } from '../../view/visible.js';

/** For `--idle`. */
const defaultIdle = parseDuration('2m');

export default class McpProxy extends CliCommand {
  static override summary = 'Serve the tools of a colony to an MCP client on this machine, over stdin and stdout';
  static override description =
    'For Claude Code, Cursor, VS Code and the like, which start it themselves. Standard output carries MCP only. Access is ' +
    'asked for with the first message, renewed while it is used, and given back when it is not.';
  static override examples = ['<%= config.bin %> mcp proxy', '<%= config.bin %> mcp proxy --colony prod --ttl 15m'];
  static override flags = {
    ttl: durationFlag('ttl', 'How long each lease may live; the colony has a default and a maximum'),
    idle: durationFlag('idle', 'Give the lease back when nothing was asked for this long; default 2m'),
    colony: colonyFlag,
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(McpProxy);
    const { claimStdout } = await import('../../mcp/own-stdout.js');
    using stdout = claimStdout();
    const config = await this.loadConfig();
    const colony = await this.chooseColony(config, flags.colony);
    const [{ openDoor }, { DoorKeeper }, { StdioProxy }, { tokenFor }] = await Promise.all([
      import('../../mcp/open-door.js'),
      import('../../mcp/door-keeper.js'),
      import('../../mcp/stdio-proxy.js'),
      import('../../config/colony-credentials.js'),
    ]);
    // Whoever has no token hears it now, and not with the first question.
    (await tokenFor(colony, this.paths.credentials)).reveal();
    using interruption = new Interruption();
    const say = (line: string) => this.say(`coral mcp proxy: ${visibleLine(line)}`);
    const door = {
      colony,
      credentialsFile: this.paths.credentials,
      purpose: 'coral mcp proxy',
      ttl: flags.ttl ?? config.ephemeral.default_ttl,
      autoCleanup: config.ephemeral.auto_cleanup,
      clock: this.clock,
    };
    const keeper = new DoorKeeper({
      open: (signal) => openDoor(door, signal),
      idleMs: flags.idle ?? defaultIdle,
      clock: this.clock,
      say,
    });
    interruption.lastGrasp = () => keeper.close();
    try {
      const { signal } = interruption;
      await new StdioProxy({ input: process.stdin, write: (text) => stdout.write(text), keeper, say, signal }).run();
    } finally {
      await keeper.close();
    }
    if (interruption.reason) throw interruption.reason;
  }
}
