import type { ListedProvider } from '../../ask/list-providers.js';
import { CliCommand } from '../../cli-command.js';
import { jsonFlag } from '../../flags.js';
import { renderTable } from '../../view/table.js';

export default class LlmList extends CliCommand {
  static override summary = 'Providers of models: which can be used, which is configured, where keys come from';
  static override description = 'Keys themselves are never shown.';
  static override flags = { json: jsonFlag };

  async run(): Promise<void> {
    const { flags } = await this.parse(LlmList);
    const { ai } = await this.loadConfig();
    const { listProviders } = await import('../../ask/list-providers.js');
    const listed = await listProviders(ai, { credentials: this.paths.credentials, env: this.env });
    if (flags.json) {
      this.printJson({ providers: listed });
      return;
    }
    const columns = ['', 'Provider', 'Model', 'Key', 'Goes to', 'Price'].map((title) => ({ title }));
    const rows = listed.map((one) => [
      one.configured ? '*' : '',
      one.provider,
      one.model ?? '',
      keyWords(one.key),
      one.local ? 'this machine' : one.host,
      one.usable ? priceWords(one) : 'not usable in this version',
    ]);
    this.printLines(renderTable(columns, rows, this.width));
    if (ai === undefined)
      this.say('No ai block in the config: builtin answers. To use your own model: coral llm configure');
  }
}

function keyWords({ source, present, needed, variable }: ListedProvider['key']): string {
  if (source === null) return needed ? `none; set ${variable}` : '';
  return present ? source : `${source} (not set)`;
}

function priceWords({ local, model, price }: ListedProvider): string {
  if (local) return 'free';
  if (model === null) return '';
  return price === null ? 'unknown' : 'known';
}
