import { globSync } from 'node:fs';
import { join, relative } from 'node:path';
import { projectRoot } from '../../scripts/demo/processes.js';

const folder = join(projectRoot, 'dist/cli/commands');
/** Every command there is, in words: `colony add`. */
const commands = globSync('**/*.js', { cwd: folder }).map((file) =>
  relative('.', file).replace(/\.js$/, '').replaceAll('/', ' '),
);
const topics = new Set(commands.map((command) => command.split(' ')[0]));

/** Commands that a next step names although nobody could run them. In prose "coral" may be followed by any word. */
export function missingCommands(next: string): string[] {
  const named = [...next.matchAll(/(`?)\bcoral ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)*)/g)];
  return named
    .filter(([, quote, words = '']) => quote === '`' || topics.has(words.split(' ')[0] ?? ''))
    .map(([, , words = '']) => words)
    .filter((words) => !commands.some((command) => `${words} `.startsWith(`${command} `)));
}
