// Tools that need something from the client first. SEP-2322: they answer "input required", and the client calls again
// with what it got. Clients of 2025 are asked while the call is open; the SDK asks them for us.
import { randomBytes } from 'node:crypto';
import {
  createRequestStateCodec,
  inputRequired,
  inputResponse,
  ProtocolError,
  ProtocolErrorCode,
  type InputRequests,
  type InputRequiredResult,
  type ServerContext,
} from '@modelcontextprotocol/server';
import { clientCapabilities, text, type FixtureTool } from './fixture.js';

/** State travels through the client, so it is signed: what comes back changed is refused. */
const codec = createRequestStateCodec<{ round: number }>({ key: randomBytes(32), ttlSeconds: 60 });

async function roundOf(ctx: ServerContext): Promise<number> {
  const state = ctx.mcpReq.requestState<string>();
  if (state === undefined) return 0;
  try {
    return (await codec.verify(state, ctx)).round;
  } catch {
    throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'Invalid or expired requestState');
  }
}

async function askInRound(
  round: number,
  inputRequests: InputRequests,
  ctx: ServerContext,
): Promise<InputRequiredResult> {
  return inputRequired({ inputRequests, requestState: await codec.mint({ round }, ctx) });
}

function form(message: string, properties: Record<string, { type: 'string' } | { type: 'boolean' }>) {
  const requestedSchema = { type: 'object' as const, properties, required: Object.keys(properties) };
  return inputRequired.elicit({ message, requestedSchema });
}

function question(words: string, maxTokens: number) {
  const messages = [{ role: 'user' as const, content: { type: 'text' as const, text: words } }];
  return inputRequired.createMessage({ messages, maxTokens });
}

const asksName = form('What is your name?', { name: { type: 'string' } });

/** The accepted form under `key`, if the client sent one. */
function filled(ctx: ServerContext, key: string): Record<string, unknown> | undefined {
  const answer = inputResponse(ctx.mcpReq.inputResponses, key);
  return answer.kind === 'elicit' && answer.action === 'accept' ? answer.content : undefined;
}

const answered = (ctx: ServerContext, key: string): boolean =>
  inputResponse(ctx.mcpReq.inputResponses, key).kind !== 'missing';

async function threeRounds(ctx: ServerContext): Promise<ReturnType<typeof text> | InputRequiredResult> {
  const round = await roundOf(ctx);
  if (round === 1 && filled(ctx, 'step1') !== undefined) {
    const asksColour = form('Step 2: What is your favorite color?', { color: { type: 'string' } });
    return await askInRound(2, { step2: asksColour }, ctx);
  }
  if (round === 2 && filled(ctx, 'step2') !== undefined) return text('both steps are done');
  return await askInRound(1, { step1: form('Step 1: What is your name?', { name: { type: 'string' } }) }, ctx);
}

async function confirmed(ctx: ServerContext): Promise<ReturnType<typeof text> | InputRequiredResult> {
  if ((await roundOf(ctx)) === 1 && filled(ctx, 'confirm') !== undefined) return text('state-ok');
  return await askInRound(1, { confirm: form('Please confirm', { ok: { type: 'boolean' } }) }, ctx);
}

export const inputTools: FixtureTool[] = [
  {
    name: 'test_input_required_result_elicitation',
    description: 'Asks for a name',
    run: async (_args, ctx) => {
      const name = filled(ctx, 'user_name')?.['name'];
      return typeof name === 'string'
        ? text(`Hello, ${name}!`)
        : inputRequired({ inputRequests: { user_name: asksName } });
    },
  },
  {
    name: 'test_streaming_elicitation',
    description: 'Asks for a name, in a result and never in between',
    run: async () => inputRequired({ inputRequests: { user_name: asksName } }),
  },
  {
    name: 'test_input_required_result_sampling',
    description: 'Asks for a completion',
    run: async (_args, ctx) => {
      if (answered(ctx, 'capital_question')) return text('sampled');
      return inputRequired({ inputRequests: { capital_question: question('What is the capital of France?', 100) } });
    },
  },
  {
    name: 'test_input_required_result_list_roots',
    description: 'Asks for the roots',
    run: async (_args, ctx) => {
      const answer = inputResponse(ctx.mcpReq.inputResponses, 'client_roots');
      if (answer.kind === 'roots') return text(answer.roots.map(({ uri }) => uri).join(' '));
      return inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } });
    },
  },
  { name: 'test_input_required_result_request_state', description: 'Keeps state', run: (_args, ctx) => confirmed(ctx) },
  {
    name: 'test_input_required_result_tampered_state',
    description: 'Signs state',
    run: (_args, ctx) => confirmed(ctx),
  },
  {
    name: 'test_input_required_result_multiple_inputs',
    description: 'Asks for a name, a completion and the roots at once',
    run: async (_args, ctx) => {
      const round = await roundOf(ctx);
      const all = ['user_name', 'greeting', 'client_roots'].every((key) => answered(ctx, key));
      if (round === 1 && all) return text('all three are here');
      const greeting = question('Generate a greeting', 50);
      return await askInRound(1, { user_name: asksName, greeting, client_roots: inputRequired.listRoots() }, ctx);
    },
  },
  { name: 'test_input_required_result_multi_round', description: 'Asks twice', run: (_args, ctx) => threeRounds(ctx) },
  {
    name: 'test_input_required_result_capabilities',
    description: 'Asks for what the client can give',
    run: async (_args, ctx) => {
      const can = clientCapabilities(ctx);
      const inputRequests: InputRequests = {
        ...(can.elicitation !== undefined && { user_name: asksName }),
        ...(can.sampling !== undefined && { greeting: question('Generate a greeting', 50) }),
      };
      return Object.keys(inputRequests).length === 0 ? text('nothing to ask for') : inputRequired({ inputRequests });
    },
  },
];

/** `prompts/get` may ask as tools do. */
export function asksContext(ctx: ServerContext): InputRequiredResult | { context: string } {
  const context = filled(ctx, 'user_context')?.['context'];
  if (typeof context === 'string') return { context };
  const asks = form('What context should the prompt use?', { context: { type: 'string' } });
  return inputRequired({ inputRequests: { user_context: asks } });
}
