// Everything the server scenarios of @modelcontextprotocol/conformance call, put onto a server the colony's own adapter
// made: the adapter and its door are what is tested, these are only something to carry.
import { ProtocolError, ProtocolErrorCode, type Server } from '@modelcontextprotocol/server';
import { getPrompt, prompts, readResource, resources, resourceTemplates } from './fixture-documents.js';
import { inputTools } from './fixture-inputs.js';
import { askingTools } from './fixture-questions.js';
import { contentTools } from './fixture-tools.js';

const tools = [...contentTools, ...inputTools, ...askingTools];

const definitions = tools.map(({ name, description, args = {} }) => ({
  name,
  description,
  inputSchema: {
    type: 'object' as const,
    properties: Object.fromEntries(
      Object.entries(args).map(([key, about]) => [key, { type: 'string', description: about }]),
    ),
    required: Object.keys(args),
  },
}));

/** Before the server is connected. Replaces the tools it had. */
export function putFixturesOn(server: Server): void {
  server.registerCapabilities({ resources: { subscribe: true }, prompts: {}, completions: {}, logging: {} });
  server.setRequestHandler('tools/list', async () => ({ tools: definitions }));
  server.setRequestHandler('tools/call', async ({ params }, ctx) => {
    const tool = tools.find(({ name }) => name === params.name);
    if (tool === undefined)
      throw new ProtocolError(ProtocolErrorCode.InvalidParams, `There is no tool ${params.name}.`);
    return await tool.run((params.arguments ?? {}) as Record<string, string>, ctx);
  });
  server.setRequestHandler('resources/list', async () => ({ resources }));
  server.setRequestHandler('resources/templates/list', async () => ({ resourceTemplates }));
  server.setRequestHandler('resources/read', async ({ params }) => readResource(params.uri));
  server.setRequestHandler('resources/subscribe', async () => ({}));
  server.setRequestHandler('resources/unsubscribe', async () => ({}));
  server.setRequestHandler('prompts/list', async () => ({ prompts }));
  server.setRequestHandler('prompts/get', async ({ params }, ctx) =>
    getPrompt(params.name, params.arguments ?? {}, ctx),
  );
  server.setRequestHandler('completion/complete', async ({ params }) => ({
    completion: { values: ['paris', 'park', 'party'].filter((word) => word.startsWith(params.argument.value)) },
  }));
}
