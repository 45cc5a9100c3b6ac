import * as Args from '@oclif/core/args';
import { CliCommand } from '../../cli-command.js';
import { jsonFlag } from '../../flags.js';

export default class AuditVerify extends CliCommand {
  static override summary = 'Check the chain of the audit record, row by row';
  static override description = 'Exit 0 when it is whole; 1 when not, with the first bad row.';
  static override examples = ['<%= config.bin %> audit verify /var/lib/coral/colony/audit'];
  static override args = { directory: Args.string({ required: true, description: 'Directory of the segments' }) };
  static override flags = { json: jsonFlag };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(AuditVerify);
    const { verifyAudit } = await import('@coral/audit');
    const result = await verifyAudit(args.directory);
    if (!result.ok) process.exitCode = 1;
    if (flags.json) {
      this.printJson(result);
      return;
    }
    if (result.ok) {
      this.printLines([`ok: ${result.rows} rows, head ${result.head}`]);
      return;
    }
    const { file, line, seq, problem } = result.firstBad;
    this.printLines([`not whole: the first bad row is ${seq}, at ${file}:${line}: ${problem}`]);
    this.say(`${result.rows} rows before it are good.`);
  }
}
