import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Door, IndependentClient } from './client.js';
import { printed, programOf, run, type Finished } from './program.js';

const program = programOf('mcporter/dist/cli.js');

async function mcporter(door: Door, words: string[]): Promise<Finished> {
  const config = join(door.home, 'mcporter.json');
  const colony = { url: door.url, headers: { Authorization: `Bearer ${door.token}` } };
  // Without `imports` it would read the settings of every editor it knows.
  await writeFile(config, JSON.stringify({ mcpServers: { colony }, imports: [] }), { mode: 0o600 });
  return await run(program, ['--config', config, ...words], door);
}

export const mcporterClient: IndependentClient = {
  name: 'mcporter',
  speaks: '2025-11-25',
  knownAs: 'node',
  list: async (door) => {
    const done = await mcporter(door, ['list', 'colony', '--json', '--no-oauth']);
    return printed<{ tools: { name: string }[] }>(done).tools.map(({ name }) => name);
  },
  call: async (door, tool, args) => {
    const words = ['call', `colony.${tool}`, '--args', JSON.stringify(args), '--output', 'json', '--no-oauth'];
    const done = await mcporter(door, words);
    // Its own form: what the result said on stdout, whether it was an error in the exit code.
    return { refused: done.code === 1, body: printed<Record<string, unknown>>(done) };
  },
};
