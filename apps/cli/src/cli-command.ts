import { systemClock, type Clock } from '@coral/model';
import { Command } from '@oclif/core/command';
import type { PinnedColony } from './config/choose-colony.js';
import type { CliConfig } from './config/cli-config.js';
import { cliPaths, type CliPaths } from './config/cli-paths.js';
import { visibleJson } from './view/visible.js';

/** What every command has at hand. Errors are thrown; main.ts prints them and decides the exit code. */
export abstract class CliCommand extends Command {
  protected readonly clock: Clock = systemClock;
  protected readonly env: NodeJS.ProcessEnv = process.env;
  protected readonly paths: CliPaths = cliPaths(process.env);

  // Imported where they are used: help and errors about arguments need no reader of config files.
  protected async loadConfig(): Promise<CliConfig> {
    const { loadCliConfig } = await import('./config/cli-config.js');
    return loadCliConfig(this.paths.config);
  }

  protected async chooseColony(config: CliConfig, asked: string | undefined): Promise<PinnedColony> {
    const { chooseColony } = await import('./config/choose-colony.js');
    return chooseColony(config, asked, this.paths.config);
  }

  /** Columns that a table may fill. What is piped is never cut. */
  protected get width(): number {
    const told = Number(this.env['COLUMNS']);
    if (Number.isInteger(told) && told > 0) return told;
    return process.stdout.isTTY ? process.stdout.columns : Infinity;
  }

  protected printLines(lines: readonly string[]): void {
    process.stdout.write(`${lines.join('\n')}\n`);
  }

  protected printJson(value: unknown): void {
    process.stdout.write(`${visibleJson(value, 2)}\n`);
  }

  /** For people: never on stdout. */
  protected say(line: string): void {
    process.stderr.write(`${line}\n`);
  }

  /** oclif would handle errors here; ours go up as they are. */
  protected override async catch(thrown: Error): Promise<void> {
    throw thrown;
  }
}
