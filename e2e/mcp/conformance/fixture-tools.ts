import { MissingRequiredClientCapabilityError, type ServerContext } from '@modelcontextprotocol/server';
import { setTimeout as pause } from 'node:timers/promises';
import { clientCapabilities, png, text, wav, type FixtureTool } from './fixture.js';

const image = { type: 'image' as const, data: png, mimeType: 'image/png' };

function embedded(uri: string, mimeType: string, words: string) {
  return { type: 'resource' as const, resource: { uri, mimeType, text: words } };
}

/** The scenarios want to see that messages come while the tool still works. */
const step = 50;

async function reportProgress({ mcpReq }: ServerContext): Promise<void> {
  const progressToken = mcpReq._meta?.progressToken;
  for (const progress of [0, 50, 100]) {
    if (progressToken !== undefined) {
      await mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress, total: 100 } });
    }
    await pause(step);
  }
}

async function log(words: string[], { mcpReq }: ServerContext): Promise<void> {
  for (const word of words) {
    await mcpReq.log('info', word);
    await pause(step);
  }
}

/** What tools answer with: each kind of content, an error, progress, logs. */
export const contentTools: FixtureTool[] = [
  {
    name: 'test_simple_text',
    description: 'Answers with text',
    run: async () => text('This is a simple text response for testing.'),
  },
  { name: 'test_image_content', description: 'Answers with an image', run: async () => ({ content: [image] }) },
  {
    name: 'test_audio_content',
    description: 'Answers with sound',
    run: async () => ({ content: [{ type: 'audio', data: wav, mimeType: 'audio/wav' }] }),
  },
  {
    name: 'test_embedded_resource',
    description: 'Answers with a resource',
    run: async () => ({
      content: [embedded('test://embedded-resource', 'text/plain', 'This is an embedded resource content.')],
    }),
  },
  {
    name: 'test_multiple_content_types',
    description: 'Answers with text, an image and a resource',
    run: async () => ({
      content: [
        { type: 'text', text: 'Multiple content types test:' },
        image,
        embedded('test://mixed-content-resource', 'application/json', '{"test":"data","value":123}'),
      ],
    }),
  },
  {
    name: 'test_tool_with_logging',
    description: 'Logs three times while it works',
    run: async (_args, ctx) => {
      await log(['Tool execution started', 'Tool processing data', 'Tool execution completed'], ctx);
      return text('logged');
    },
  },
  {
    name: 'test_tool_with_progress',
    description: 'Tells its progress three times',
    run: async (_args, ctx) => {
      await reportProgress(ctx);
      return text('done');
    },
  },
  {
    name: 'test_error_handling',
    description: 'Always fails',
    run: async () => ({ ...text('This tool intentionally returns an error for testing'), isError: true }),
  },
  {
    name: 'test_logging_tool',
    description: 'Logs, to whom wants to hear it',
    run: async (_args, ctx) => {
      await log(['one'], ctx);
      return text('logged');
    },
  },
  {
    name: 'test_missing_capability',
    description: 'Needs a client that can sample',
    run: async (_args, ctx) => {
      const requiredCapabilities = { sampling: {} };
      if (clientCapabilities(ctx).sampling !== undefined) return text('sampled');
      throw new MissingRequiredClientCapabilityError({ requiredCapabilities });
    },
  },
];
