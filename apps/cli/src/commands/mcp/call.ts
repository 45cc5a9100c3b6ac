import * as Args from '@oclif/core/args';
import { string } from '@oclif/core/flags';
import { exitCodeFor } from '@coral/errors';
import { colonyFlag, jsonFlag, ttlFlag } from '../../flags.js';
import { readArguments } from '../../mcp/call-arguments.js';
import { toolError, ToolCommand } from '../../tool-command.js';
import { isPartial } from '../../view/envelope-view.js';
import { visible } from '../../view/visible.js';

export default class McpCall extends ToolCommand {
  static override summary = 'Call a tool by its MCP name, as a model would';
  static override description =
    'Prints the answer as JSON. --json prints the result of tools/call as it came, content and structuredContent.';
  static override usage = 'mcp call <tool> [name=value ...] [--args <json>]';
  static override examples = [
    '<%= config.bin %> mcp call coral_get_health',
    '<%= config.bin %> mcp call coral_query query="orders latency, by route" time_range=15m',
    `<%= config.bin %> mcp call coral_query --args '{"query": "errors by service"}' --json`,
  ];
  static override args = {
    tool: Args.string({ required: true, description: 'Name of the tool: coral mcp tools lists them' }),
  };
  // The rest are arguments of the tool.
  static override strict = false;
  static override flags = {
    args: string({ description: 'All arguments as one JSON object, instead of name=value', helpValue: '<json>' }),
    'ephemeral-ttl': ttlFlag,
    colony: colonyFlag,
    json: jsonFlag,
  };

  async run(): Promise<void> {
    const { args, argv, flags } = await this.parse(McpCall);
    const given = readArguments(argv.slice(1).map(String), flags.args);
    await this.withSession(flags, async (session, signal) => {
      const answer = await session.callTool(args.tool, given, signal);
      // A refusal is a result too; who asked for results gets it before the exit code.
      if (flags.json) this.printJson(answer.result);
      if (answer.isError) throw toolError(answer.error);
      if (!flags.json) this.printLines([visible(JSON.stringify(answer.envelope, null, 2))]);
      if (isPartial(answer.envelope)) process.exitCode = exitCodeFor('partial');
    });
  }
}
