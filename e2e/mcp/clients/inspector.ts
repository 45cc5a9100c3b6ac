import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { answerOf, type Answer, type Door, type IndependentClient, type Revision } from './client.js';
import { printed, programOf, run, type Finished } from './program.js';

const program = programOf('@modelcontextprotocol/inspector/clients/launcher/build/index.js');

type Era = 'legacy' | 'auto' | 'modern';

async function inspect(door: Door, era: Era, words: string[]): Promise<Finished> {
  const config = join(door.home, 'inspector.json');
  const headers = { Authorization: `Bearer ${door.token}` };
  const server = { type: 'streamable-http', url: door.url, headers, protocolEra: era };
  await writeFile(config, JSON.stringify({ mcpServers: { colony: server } }), { mode: 0o600 });
  const which = ['--config', config, '--server', 'colony', '--protocol-era', era];
  return await run(program, ['--cli', ...which, '--format', 'json', ...words], door);
}

function client(era: Era, speaks: Revision): IndependentClient {
  return {
    name: `Inspector CLI, ${era}`,
    speaks,
    knownAs: speaks === '2026-07-28' ? 'inspector-cli/' : 'node',
    callsOnlyWhatIsListed: true,
    list: async (door) => {
      // --strict: ends with 6 when a schema is one that some client cannot read.
      const done = await inspect(door, era, ['--method', 'tools/list', '--strict']);
      if (done.code !== 0) throw new Error(`it ended with ${done.code}\n${done.stdout}\n${done.stderr}`);
      const { result } = printed<{ result: { tools: { name: string }[] } }>(done);
      return result.tools.map(({ name }) => name);
    },
    call: async (door, tool, args): Promise<Answer> => {
      const words = ['--method', 'tools/call', '--tool-name', tool, '--tool-args-json', JSON.stringify(args)];
      const done = await inspect(door, era, words);
      return answerOf(printed<{ result: object }>(done).result);
    },
  };
}

export const inspectorClients = [
  client('legacy', '2025-11-25'),
  client('auto', '2026-07-28'),
  client('modern', '2026-07-28'),
];
