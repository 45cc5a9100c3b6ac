import { CoralError, errorKinds, exitCodeFor, type ErrorKind } from '@coral/errors';
import type { Duration } from '@coral/model';
import type { ToolEnvelope, ToolErrorBody, ToolName } from '@coral/tools';
import { CliCommand } from './cli-command.js';
import { Interruption } from './interruption.js';
import type { ToolSession } from './session/tool-session.js';
import { isPartial } from './view/envelope-view.js';

export interface SessionFlags {
  colony?: string | undefined;
  'ephemeral-ttl'?: Duration | undefined;
}

export interface ToolCommandCall {
  tool: ToolName;
  /** As the model would send them; absent ones are left out. */
  args: Record<string, string | undefined>;
  flags: SessionFlags & { json: boolean };
  view(envelope: ToolEnvelope, width: number): string[];
}

/** The twins of the tools: the same call the model makes, by the same path, under a lease of its own. */
export abstract class ToolCommand extends CliCommand {
  protected async callTool({ tool, args, flags, view }: ToolCommandCall): Promise<void> {
    await this.withSession(flags, async (session, signal) => {
      const given = Object.fromEntries(Object.entries(args).filter(([, value]) => value !== undefined));
      const answer = await session.callTool(tool, given, signal);
      if (answer.isError) throw toolError(answer.error);
      if (flags.json) this.printJson(answer.envelope);
      else this.printLines(view(answer.envelope, this.width));
      if (isPartial(answer.envelope)) process.exitCode = exitCodeFor('partial');
    });
  }

  /** Opens the colony's tools for `work` and gives the lease back whatever happens. */
  protected async withSession(
    flags: SessionFlags,
    work: (session: ToolSession, signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const config = await this.loadConfig();
    const colony = await this.chooseColony(config, flags.colony);
    using interruption = new Interruption();
    const { ToolSession: Session } = await import('./session/tool-session.js');
    try {
      await using session = await Session.open({
        colony,
        credentialsFile: this.paths.credentials,
        purpose: `coral ${this.id?.replaceAll(':', ' ') ?? 'tool'}`,
        ttl: flags['ephemeral-ttl'] ?? config.ephemeral.default_ttl,
        autoCleanup: config.ephemeral.auto_cleanup,
        clock: this.clock,
        signal: interruption.signal,
        onReconnect: () => this.say('Reconnecting…'),
      });
      interruption.lastGrasp = () => session.close();
      await work(session, interruption.signal);
    } catch (thrown) {
      throw interruption.reason ?? thrown;
    }
  }
}

/** What the colony refused, as it said it. */
export function toolError({ kind, reason, message, next, where }: ToolErrorBody['error']): CoralError {
  const known = (errorKinds as string[]).includes(kind) ? (kind as ErrorKind) : 'internal';
  return new CoralError({ kind: known, reason, message, next, where });
}
