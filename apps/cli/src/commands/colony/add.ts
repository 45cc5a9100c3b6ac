import * as Args from '@oclif/core/args';
import { boolean, string } from '@oclif/core/flags';
import { CoralError } from '@coral/errors';
import { CliCommand } from '../../cli-command.js';
import { jsonFlag } from '../../flags.js';

export default class ColonyAdd extends CliCommand {
  static override summary = 'Add a colony to the config, or change it';
  static override description =
    'The fingerprint of its CA and an API token come from the administrator. The token is read from a prompt, from ' +
    'stdin or from the environment, never from the command line.';
  static override examples = [
    '<%= config.bin %> colony add prod coral.example.com:41820 --ca-fingerprint sha256:… --token env://CORAL_TOKEN',
    'pass coral/prod | <%= config.bin %> colony add prod coral.example.com:41820 --ca-fingerprint sha256:…',
  ];
  static override args = {
    id: Args.string({ required: true, description: 'Id of the colony' }),
    endpoint: Args.string({ required: true, description: 'host:port where it answers' }),
  };
  static override flags = {
    'ca-fingerprint': string({
      required: true,
      description: 'SHA-256 of its CA certificate',
      helpValue: 'sha256:<hex>',
    }),
    token: string({ description: 'Where the API token is; - reads stdin', helpValue: 'env://NAME' }),
    check: boolean({
      description: 'Ask the colony who you are before anything is written',
      default: true,
      allowNo: true,
    }),
    json: jsonFlag,
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ColonyAdd);
    const { colonyIdPattern, endpointPattern, fingerprintPattern } = await import('../../config/cli-config.js');
    const fingerprint = flags['ca-fingerprint'].toLowerCase();
    check('id', args.id, colonyIdPattern, 'letters, digits, dots and dashes, at most 63');
    check('endpoint', args.endpoint, endpointPattern, 'host:port, for example coral.example.com:41820');
    check('--ca-fingerprint', fingerprint, fingerprintPattern, 'sha256: and 64 hexadecimal digits');
    await this.loadConfig();
    const [{ readToken }, { putColony }, { keepToken }] = await Promise.all([
      import('../../colony/read-secret.js'),
      import('../../config/edit-config.js'),
      import('../../config/colony-credentials.js'),
    ]);
    const { token, reference } = await readToken(flags.token, process.stdin);
    const colony = { id: args.id, endpoint: args.endpoint, ca_fingerprint: fingerprint };
    let described: { userId: string; permissions: string[] } | undefined;
    if (flags.check) {
      const { openColony } = await import('../../colony/colony-api.js');
      using api = await openColony(colony, token);
      const answer = await api.describe();
      if (answer.colonyId !== args.id) throw otherColony(args.id, answer.colonyId);
      described = answer;
    }
    if (reference === undefined) await keepToken(this.paths.credentials, args.id, token);
    await putColony(this.paths.config, {
      id: args.id,
      endpoint: args.endpoint,
      caFingerprint: fingerprint,
      tokenReference: reference,
    });
    if (flags.json) {
      const { userId: user_id = null, permissions = [] } = described ?? {};
      this.printJson({ id: args.id, endpoint: args.endpoint, config: this.paths.config, user_id, permissions });
      return;
    }
    const may = described?.permissions.join(', ') || 'no permission yet';
    this.say(`Added ${args.id} to ${this.paths.config}${described ? `: you are ${described.userId} (${may})` : ''}`);
  }
}

function check(where: string, value: string, pattern: RegExp, expected: string): void {
  if (pattern.test(value)) return;
  throw new CoralError({
    kind: 'invalid_argument',
    reason: 'bad_argument',
    where,
    message: `${where}: ${JSON.stringify(value.slice(0, 100))} is not what it must be: ${expected}.`,
    next: 'coral colony add --help shows an example.',
  });
}

function otherColony(wanted: string, found: string): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'other_colony',
    where: 'id',
    message: `The colony there calls itself ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}.`,
    next: `Add it by its own id: coral colony add ${found} …`,
  });
}
