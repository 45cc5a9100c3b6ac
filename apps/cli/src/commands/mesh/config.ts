import { boolean, string } from '@oclif/core/flags';
import { CoralError } from '@coral/errors';
import { CliCommand } from '../../cli-command.js';
import { colonyFlag, ttlFlag } from '../../flags.js';

export default class MeshConfig extends CliCommand {
  static override summary = 'A lease for a stock WireGuard client: prints its configuration';
  static override description =
    'For those who want an interface of the operating system (wg-quick, the WireGuard apps). The lease ends by itself at its TTL, ' +
    'or with `coral colony ephemeral release`. `coral ask` needs none of this.';
  static override examples = [
    '<%= config.bin %> mesh config --public-key "$(wg pubkey < private.key)"',
    '<%= config.bin %> mesh config --with-new-key --ephemeral-ttl 15m > coral.conf',
  ];
  static override flags = {
    'public-key': string({
      description: 'Your WireGuard public key, base64; its private half stays where it is',
      helpValue: '<base64>',
      exclusive: ['with-new-key'],
    }),
    'with-new-key': boolean({ description: 'Make a key pair and print the private key too, this once' }),
    colony: colonyFlag,
    'ephemeral-ttl': ttlFlag,
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(MeshConfig);
    const given = flags['public-key'];
    if (given === undefined && !flags['with-new-key']) throw noKey();
    const [config, { leaseForStockClient }] = await Promise.all([
      this.loadConfig(),
      import('../../session/stock-client-lease.js'),
    ]);
    const colony = await this.chooseColony(config, flags.colony);
    const lease = await leaseForStockClient({
      colony,
      credentialsFile: this.paths.credentials,
      publicKey: given,
      ttl: flags['ephemeral-ttl'] ?? config.ephemeral.default_ttl,
    });
    if (given === undefined) this.say('The private key below is shown this once. Whoever has it is you on the mesh.');
    this.say(`Lease ${lease.agentId}, until ${lease.expiresAt.toISOString()}.`);
    process.stdout.write(lease.config);
  }
}

function noKey(): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'key_missing',
    message: 'Whose key shall the lease be for?',
    next: 'Pass --public-key with the public key of your WireGuard client, or --with-new-key to have a pair made.',
  });
}
