import {
  ResourceNotFoundError,
  ProtocolError,
  ProtocolErrorCode,
  type GetPromptResult,
  type InputRequiredResult,
  type ReadResourceResult,
  type ServerContext,
} from '@modelcontextprotocol/server';
import { png } from './fixture.js';
import { asksContext } from './fixture-inputs.js';

export const resources = [
  { uri: 'test://static-text', name: 'text', description: 'Some text', mimeType: 'text/plain' },
  { uri: 'test://static-binary', name: 'image', description: 'An image', mimeType: 'image/png' },
  { uri: 'test://watched-resource', name: 'watched', description: 'To subscribe to', mimeType: 'text/plain' },
];

export const resourceTemplates = [
  {
    uriTemplate: 'test://template/{id}/data',
    name: 'data',
    description: 'Data of one id',
    mimeType: 'application/json',
  },
];

export function readResource(uri: string): ReadResourceResult {
  const id = /^test:\/\/template\/([^/]+)\/data$/.exec(uri)?.[1];
  if (id !== undefined) {
    const words = JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` });
    return { contents: [{ uri, mimeType: 'application/json', text: words }] };
  }
  if (uri === 'test://static-binary') return { contents: [{ uri, mimeType: 'image/png', blob: png }] };
  const words = {
    'test://static-text': 'This is the content of the static text resource.',
    'test://watched-resource': 'Watched resource content.',
  }[uri];
  if (words === undefined) throw new ResourceNotFoundError(uri);
  return { contents: [{ uri, mimeType: 'text/plain', text: words }] };
}

const argument = (name: string) => ({ name, description: `The argument ${name}`, required: true });

export const prompts = [
  { name: 'test_simple_prompt', description: 'Has no arguments' },
  { name: 'test_prompt_with_arguments', description: 'Has two', arguments: [argument('arg1'), argument('arg2')] },
  { name: 'test_prompt_with_embedded_resource', description: 'Has a resource', arguments: [argument('resourceUri')] },
  { name: 'test_prompt_with_image', description: 'Has an image' },
  { name: 'test_input_required_result_prompt', description: 'Asks for context first' },
];

type Content = GetPromptResult['messages'][number]['content'];

const say = (...contents: Content[]): GetPromptResult => ({
  messages: contents.map((content) => ({ role: 'user', content })),
});
const words = (text: string): Content => ({ type: 'text', text });

export function getPrompt(
  name: string,
  args: Record<string, string>,
  ctx: ServerContext,
): GetPromptResult | InputRequiredResult {
  switch (name) {
    case 'test_simple_prompt':
      return say(words('This is a simple prompt for testing.'));
    case 'test_prompt_with_arguments':
      return say(words(`Prompt with arguments: arg1='${args['arg1']}', arg2='${args['arg2']}'`));
    case 'test_prompt_with_embedded_resource': {
      const resource = {
        uri: args['resourceUri'] ?? '',
        mimeType: 'text/plain',
        text: 'Embedded resource content for testing.',
      };
      return say({ type: 'resource', resource }, words('Please process the embedded resource above.'));
    }
    case 'test_prompt_with_image':
      return say({ type: 'image', data: png, mimeType: 'image/png' }, words('Please analyze the image above.'));
    case 'test_input_required_result_prompt': {
      const asked = asksContext(ctx);
      return 'context' in asked ? say(words(String(asked.context))) : (asked as InputRequiredResult);
    }
    default:
      throw new ProtocolError(ProtocolErrorCode.InvalidParams, `There is no prompt ${name}.`);
  }
}
