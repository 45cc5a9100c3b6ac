import { colonyFlag, jsonFlag, ttlFlag } from '../../flags.js';
import { ToolCommand } from '../../tool-command.js';
import { renderTable } from '../../view/table.js';

export default class McpTools extends ToolCommand {
  static override summary = 'The tools that the colony offers you';
  static override description =
    'Those you may not call are not listed. --json prints the result of tools/list as it came.';
  static override examples = ['<%= config.bin %> mcp tools', '<%= config.bin %> mcp tools --json'];
  static override flags = { 'ephemeral-ttl': ttlFlag, colony: colonyFlag, json: jsonFlag };

  async run(): Promise<void> {
    const { flags } = await this.parse(McpTools);
    await this.withSession(flags, async (session, signal) => {
      const result = await session.toolsResult(signal);
      if (flags.json) {
        this.printJson(result);
        return;
      }
      const rows = result.tools.map(({ name, description, inputSchema }) => [
        name,
        argumentsOf(inputSchema),
        description ?? '',
      ]);
      this.printLines(
        renderTable(
          ['Tool', 'Arguments', 'What it does'].map((title) => ({ title })),
          rows,
          this.width,
        ),
      );
    });
  }
}

/** `query, [scope]`: what is not required stands in brackets. */
function argumentsOf({ properties, required }: Record<string, unknown>): string {
  const needed = Array.isArray(required) ? required : [];
  return Object.keys(properties ?? {})
    .map((name) => (needed.includes(name) ? name : `[${name}]`))
    .join(', ');
}
