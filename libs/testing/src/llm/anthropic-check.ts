import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import type { IssuedBlock } from './anthropic-events.js';

/** What the API refuses a request for. */
export interface Refusal {
  status: number;
  type: string;
  message: string;
}

const cacheControl = z.strictObject({ type: z.literal('ephemeral'), ttl: z.enum(['5m', '1h']).optional() }).nullish();
const id = z.string().regex(/^[a-zA-Z0-9_-]+$/);
const toolName = z.string().regex(/^[a-zA-Z0-9_-]{1,128}$/);
const text = z.strictObject({ type: z.literal('text'), text: z.string().min(1), cache_control: cacheControl });
const block = z.discriminatedUnion('type', [
  text,
  z.strictObject({ type: z.literal('thinking'), thinking: z.string(), signature: z.string() }),
  z.strictObject({ type: z.literal('redacted_thinking'), data: z.string() }),
  z.strictObject({
    type: z.literal('tool_use'),
    id,
    name: toolName,
    input: z.record(z.string(), z.unknown()),
    cache_control: cacheControl,
  }),
  z.strictObject({
    type: z.literal('tool_result'),
    tool_use_id: id,
    content: z.union([z.string(), z.array(text)]).optional(),
    is_error: z.boolean().optional(),
    cache_control: cacheControl,
  }),
]);
const choice = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('auto'), disable_parallel_tool_use: z.boolean().optional() }),
  z.strictObject({ type: z.literal('any'), disable_parallel_tool_use: z.boolean().optional() }),
  z.strictObject({ type: z.literal('tool'), name: toolName, disable_parallel_tool_use: z.boolean().optional() }),
  z.strictObject({ type: z.literal('none') }),
]);
/** The part of the request that a client of tools has a use for; the rest is refused as the API refuses a misspelling. */
const base = z.strictObject({
  model: z.string().min(1),
  max_tokens: z.int().min(1),
  messages: z
    .array(
      z.strictObject({ role: z.enum(['user', 'assistant']), content: z.union([z.string(), z.array(block).min(1)]) }),
    )
    .min(1),
  system: z.union([z.string(), z.array(text)]).optional(),
  tools: z
    .array(
      z.strictObject({
        name: toolName,
        description: z.string().optional(),
        input_schema: z.looseObject({ type: z.literal('object') }),
        cache_control: cacheControl,
      }),
    )
    .optional(),
  tool_choice: choice.optional(),
  stream: z.boolean().optional(),
  stop_sequences: z.array(z.string()).optional(),
  metadata: z.strictObject({ user_id: z.string().nullish() }).optional(),
  thinking: z
    .union([
      z.strictObject({ type: z.literal('enabled'), budget_tokens: z.int().min(1024) }),
      z.strictObject({ type: z.enum(['adaptive', 'disabled']) }),
    ])
    .optional(),
});
const byVersion = {
  '2023-06-01': base.extend({
    temperature: z.number().min(0).max(1).optional(),
    top_p: z.number().optional(),
    top_k: z.int().optional(),
  }),
  '2026-10-21': base,
} as const;

export type MessagesBody = z.output<(typeof byVersion)['2023-06-01']>;
export type MessageBlock = z.output<typeof block>;

/** What the server gave out before. */
export interface Issued {
  /** The message in which it issued a call, by the call's id. */
  messageOf(callId: string): readonly IssuedBlock[] | undefined;
  isSigned(block: IssuedBlock): boolean;
  /** It paused a turn that ended in just this content. */
  isPaused(content: readonly unknown[]): boolean;
}

/** The request's body, or what the API says against it. `version`: the header `anthropic-version`. */
export function checkMessages(version: string | undefined, json: string, issued: Issued): MessagesBody | Refusal {
  if (version === undefined) return bad('anthropic-version: header is required');
  if (!Object.hasOwn(byVersion, version)) return bad(`anthropic-version: "${version}" is not a valid version`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch {
    return bad('The request body is not valid JSON.');
  }
  const result = byVersion[version as keyof typeof byVersion].safeParse(parsed);
  if (!result.success) return bad(wordsOf(result.error));
  const body: MessagesBody = result.data;
  return checkTools(body) ?? checkCacheMarks(body) ?? checkConversation(body, issued) ?? body;
}

function bad(message: string): Refusal {
  return { status: 400, type: 'invalid_request_error', message };
}

function wordsOf(error: z.ZodError): string {
  const issue = error.issues[0];
  const path = issue?.path.join('.') ?? '';
  if (issue?.code === 'unrecognized_keys') {
    return `${[...issue.path, issue.keys[0]].join('.')}: Extra inputs are not permitted`;
  }
  return `${path}: ${issue?.message ?? 'Input is not valid'}`;
}

function checkTools({ tools, tool_choice: how, messages }: MessagesBody): Refusal | undefined {
  const names = (tools ?? []).map(({ name }) => name);
  if (new Set(names).size < names.length) return bad('tools: Tool names must be unique.');
  if (how !== undefined && names.length === 0) return bad('tool_choice: may only be specified while providing tools.');
  if (how?.type === 'tool' && !names.includes(how.name)) return bad(`Tool '${how.name}' not found in provided tools`);
  const usesTools = messages.some(({ content }) => blocksOf(content).some(({ type }) => type.startsWith('tool_')));
  if (usesTools && names.length === 0) {
    return bad('Requests which include `tool_use` or `tool_result` blocks must define tools');
  }
  return undefined;
}

function checkCacheMarks({ system, tools, messages }: MessagesBody): Refusal | undefined {
  const marked = [
    ...(Array.isArray(system) ? system : []),
    ...(tools ?? []),
    ...messages.flatMap(({ content }) => blocksOf(content)),
  ].filter((one) => 'cache_control' in one && one.cache_control);
  if (marked.length <= 4) return undefined;
  return bad(`A maximum of 4 blocks with cache_control may be provided. Found ${marked.length}.`);
}

export function blocksOf(content: string | readonly MessageBlock[]): readonly MessageBlock[] {
  return typeof content === 'string' ? [{ type: 'text', text: content }] : content;
}

/** Who speaks when, which result answers which call, and that what was signed came back as it was. */
function checkConversation({ messages }: MessagesBody, issued: Issued): Refusal | undefined {
  const seen = new Set<string>();
  let open: string[] = [];
  for (const [i, message] of messages.entries()) {
    const blocks = blocksOf(message.content);
    const speaker = i % 2 === 0 ? 'user' : 'assistant';
    // The API itself joins two of a kind; a client that relies on it has lost count of its turns.
    if (message.role !== speaker) return bad(`messages.${i}.role: expected "${speaker}", roles must alternate`);
    const blank = blocks.some((one) => one.type === 'text' && one.text.trim() === '');
    if (blank) return bad('messages: text content blocks must contain non-whitespace text');
    const refusal =
      message.role === 'user'
        ? checkResults(i, blocks, open)
        : (checkCalls(i, blocks, seen) ?? checkThinking(i, blocks, issued));
    if (refusal !== undefined) return refusal;
    open = blocks.flatMap((one) => (one.type === 'tool_use' ? [one.id] : []));
  }
  const last = messages.at(-1);
  if (last?.role === 'assistant' && !issued.isPaused(blocksOf(last.content))) {
    return bad('This model does not support assistant message prefill. The conversation must end with a user message.');
  }
  return undefined;
}

function checkCalls(i: number, blocks: readonly MessageBlock[], seen: Set<string>): Refusal | undefined {
  for (const one of blocks) {
    if (one.type === 'tool_result')
      return bad(`messages.${i}: \`tool_result\` blocks can only be in \`user\` messages`);
    if (one.type !== 'tool_use') continue;
    if (seen.has(one.id)) return bad('messages: `tool_use` ids must be unique');
    seen.add(one.id);
  }
  return undefined;
}

function checkResults(i: number, blocks: readonly MessageBlock[], open: readonly string[]): Refusal | undefined {
  const answered = new Set<string>();
  for (const [at, one] of blocks.entries()) {
    if (one.type === 'text') continue;
    if (one.type !== 'tool_result')
      return bad(`messages.${i}: \`${one.type}\` blocks can only be in \`assistant\` messages`);
    if (blocks.slice(0, at).some(({ type }) => type === 'text')) {
      return bad(`messages.${i}: \`tool_result\` blocks must come before any text`);
    }
    if (!open.includes(one.tool_use_id)) {
      return bad(
        `messages.${i}.content.${at}: unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${one.tool_use_id}. Each \`tool_result\` block must have a corresponding \`tool_use\` block in the previous message.`,
      );
    }
    if (answered.has(one.tool_use_id)) {
      return bad(
        `messages.${i}.content.${at}: each tool_use must have a single result. Found multiple for ${one.tool_use_id}`,
      );
    }
    answered.add(one.tool_use_id);
  }
  const left = open.filter((call) => !answered.has(call));
  if (left.length === 0) return undefined;
  return bad(
    `messages.${i}: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ${left.join(', ')}. Each \`tool_use\` block must have a corresponding \`tool_result\` block in the next message.`,
  );
}

function checkThinking(i: number, blocks: readonly MessageBlock[], issued: Issued): Refusal | undefined {
  for (const [at, one] of blocks.entries()) {
    if (isThinking(one) && !issued.isSigned(one)) {
      return bad(`messages.${i}.content.${at}: Invalid \`signature\` in \`thinking\` block`);
    }
    if (one.type !== 'tool_use') continue;
    const before = issued.messageOf(one.id)?.filter(isThinking);
    if (before === undefined) continue;
    if (!isDeepStrictEqual(blocks.filter(isThinking), before)) {
      return bad(
        `messages.${i}.content.${at}: \`thinking\` or \`redacted_thinking\` blocks in the latest assistant message cannot be modified. These blocks must remain as they were in the original response.`,
      );
    }
  }
  return undefined;
}

function isThinking({ type }: { type: string }): boolean {
  return type === 'thinking' || type === 'redacted_thinking';
}
