// Tools of the revision of 2025 that ask the client in the middle of a call.
import type { ElicitRequestFormParams, ServerContext } from '@modelcontextprotocol/server';
import { text, type FixtureTool } from './fixture.js';

type Form = ElicitRequestFormParams['requestedSchema'];

async function ask(message: string, requestedSchema: Form, { mcpReq }: ServerContext): Promise<string> {
  const { action, content } = await mcpReq.send({ method: 'elicitation/create', params: { message, requestedSchema } });
  return `action=${action}, content=${JSON.stringify(content ?? {})}`;
}

/** SEP-1034: every primitive type may have a default. */
const formWithDefaults: Form = {
  type: 'object',
  properties: {
    name: { type: 'string', default: 'John Doe' },
    age: { type: 'integer', default: 30 },
    score: { type: 'number', default: 95.5 },
    status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
    verified: { type: 'boolean', default: true },
  },
};

const options = ['option1', 'option2', 'option3'];
const titled = (titles: string[]) => titles.map((title, i) => ({ const: `value${i + 1}`, title }));

/** SEP-1330: one choice or several, each with titles or without, and the old way to give titles. */
const formWithChoices: Form = {
  type: 'object',
  properties: {
    untitledSingle: { type: 'string', enum: options },
    titledSingle: { type: 'string', oneOf: titled(['First Option', 'Second Option', 'Third Option']) },
    legacyEnum: {
      type: 'string',
      enum: ['opt1', 'opt2', 'opt3'],
      enumNames: ['Option One', 'Option Two', 'Option Three'],
    },
    untitledMulti: { type: 'array', items: { type: 'string', enum: options } },
    titledMulti: { type: 'array', items: { anyOf: titled(['First Choice', 'Second Choice', 'Third Choice']) } },
  },
};

export const askingTools: FixtureTool[] = [
  {
    name: 'test_sampling',
    description: 'Asks the model of the client',
    args: { prompt: 'What to ask it' },
    run: async ({ prompt }, { mcpReq }) => {
      const messages = [{ role: 'user', content: { type: 'text', text: prompt } }];
      const { content } = await mcpReq.send({ method: 'sampling/createMessage', params: { messages, maxTokens: 100 } });
      return text(`LLM response: ${JSON.stringify(content)}`);
    },
  },
  {
    name: 'test_elicitation',
    description: 'Asks the user of the client',
    args: { message: 'What to ask' },
    run: async ({ message = '' }, ctx) => {
      const form: Form = { type: 'object', properties: { response: { type: 'string' } }, required: ['response'] };
      return text(`User response: ${await ask(message, form, ctx)}`);
    },
  },
  {
    name: 'test_elicitation_sep1034_defaults',
    description: 'Asks with a form that is filled in',
    run: async (_args, ctx) => text(`Elicitation completed: ${await ask('Please review', formWithDefaults, ctx)}`),
  },
  {
    name: 'test_elicitation_sep1330_enums',
    description: 'Asks with a form of choices',
    run: async (_args, ctx) => text(`Elicitation completed: ${await ask('Please choose', formWithChoices, ctx)}`),
  },
];
