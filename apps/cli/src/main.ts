import { readdirSync } from 'node:fs';
import { join, sep } from 'node:path';
import { run } from '@oclif/core';
import { exitCodeOfSignal, Interruption } from './interruption.js';
import { version } from './version.js';

/** Ends the process. `root` is the directory of the built CLI, where `commands/` is. */
export async function main(argv: string[], root: string): Promise<void> {
  let exitCode = 0;
  process.stdout.on('error', onBrokenPipe);
  // Nobody reads what goes wrong any more; the exit code still tells.
  process.stderr.on('error', () => undefined);
  try {
    await run(argv, { root, isRoot: true, pjson: packageJson });
    exitCode = Number(process.exitCode ?? 0);
  } catch (thrown) {
    // Only now: it brings the reader of config files with it.
    const { reportError } = await import('./report-error.js');
    const commands = () => commandsBelow(join(root, 'commands'));
    exitCode = reportError(thrown, { json: argv.includes('--json'), argv, commands, stderr: process.stderr });
  }
  await drained(process.stdout);
  await drained(process.stderr);
  // Connections may still be closing; the answer is out and nothing is left to wait for.
  process.exit(exitCode);
}

/** `coral … | head -1`: the reader has what it wanted. A command that holds a lease ends in its own order. */
function onBrokenPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
  if (!Interruption.isWatching()) process.exit(exitCodeOfSignal('SIGPIPE'));
}

const packageJson = {
  name: 'coral',
  version,
  type: 'module' as const,
  dependencies: {},
  oclif: {
    bin: 'coral',
    dirname: 'coral',
    topicSeparator: ' ' as const,
    commands: {
      strategy: 'pattern' as const,
      target: './commands',
      globPatterns: ['**/*.js'],
    },
    topics: {
      agent: { description: 'Agents beside the services' },
      audit: { description: 'The record of what was asked' },
      colony: { description: 'Colonies, and who may talk to them' },
      'colony:ephemeral': { description: 'Leases: identities that live for one question' },
      'colony:join-token': { description: 'Tokens with which agents join (administrator)' },
      'colony:token': { description: 'API tokens of people (administrator)' },
      llm: { description: 'Models: yours, with your key, or none' },
      mcp: { description: 'The tools of a colony, for programs that speak MCP' },
    },
  },
};

/** `colony add` for `colony/add.js`. */
function commandsBelow(directory: string): string[] {
  const files = readdirSync(directory, { recursive: true, encoding: 'utf8' });
  return files.filter((file) => file.endsWith('.js')).map((file) => file.slice(0, -'.js'.length).replaceAll(sep, ' '));
}

/** Resolves when everything was handed over, or it is known that nobody takes it any more. */
function drained(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    // A broken pipe is told one turn after the write that found it.
    if (stream.destroyed || stream.writableLength === 0) setImmediate(resolve);
    else stream.write('', () => setImmediate(resolve));
  });
}
