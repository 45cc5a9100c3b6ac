import { toolDefinitions } from '@coral/tools';
import { describe, expect, it } from 'vitest';
import { findUnsupported } from './answer-check.js';

/** What tools answered in one conversation about a slow shop. */
const texts = [
  'Why is checkout slow since 14:30?',
  JSON.stringify({
    data: {
      services: [
        { service: 'checkout', status: 'degraded', requests_per_s: 20.4, error_rate: 0.1254, p95_ms: 449.6 },
        { service: 'payment', status: 'degraded', requests_per_s: 19.8, error_rate: 0.004, p95_ms: 362.1 },
        ...Array.from({ length: 10 }, (_, i) => ({ service: `other-${i}`, status: 'healthy', p95_ms: 12 })),
      ],
    },
    window: { from: '2026-11-21T14:10:00.000Z', to: '2026-11-21T14:40:00.000Z' },
    coverage: { asked: 3, answered: ['agt-a', 'agt-b'], silent: ['agt-c'] },
  }),
  JSON.stringify({
    rows: [
      { service: 'checkout', start: '2026-11-21T14:20:00.000Z', requests: 1840, p95_ms: 149.7 },
      { service: 'checkout', start: '2026-11-21T14:34:50.000Z', requests: 12_480, p95_ms: 449.6, max_ms: 2_310 },
      { service: 'payment', route: 'POST /charge/{id}', dependency: 'postgresql:orders@127.0.0.1:5432', p95_ms: 305 },
    ],
  }),
  JSON.stringify({
    events: [
      {
        at: '2026-11-21T14:34:41.000Z',
        type: 'deploy',
        service: 'payment',
        version: '1.4.0',
        previous_version: '1.3.0',
        summary: 'payment 1.4.0 deployed (before: 1.3.0).',
      },
      { at: '2026-11-21T14:35:10.000Z', type: 'crash', reason: 'OOM', memory_limit_bytes: 536_870_912, exit_code: 137 },
    ],
  }),
];
const words = toolDefinitions.map((tool) => tool.name);
const find = (answer: string): string[] => findUnsupported(answer, { texts, words });

describe('an answer that says what tools returned', () => {
  it.each([
    'checkout p95 went from 150 to 450 ms at 14:34:50 UTC.',
    'Errors are 12.5 % of 12,480 requests.',
    'It takes 0.45 s, 3x as long as the 150 ms before; now it is 450 ms.',
    '`payment` 1.4.0 since 2026-11-21 14:34, one of 12 services.',
    'The p95 of the service checkout; `payment`; "checkout".',
    '',
    'The cause is the deployment of payment v1.4.0 at 14:34:41 UTC, which replaced v1.3.0.',
    '**Cause:** `payment@1.4.0`\n\n1. p95 rose to ~360 ms.\n2. checkout waits for it.\n3. Nothing else changed.',
    'Latency rose by 300 ms, from 150 ms to 450 ms (p95), a factor of 3.0.',
    'Errors: roughly 12 percent. Traffic stayed at about 20 requests/s.',
    'Nine seconds after the deploy, at 14:34:50, checkout (p99 not known) was already at 449.6 ms.',
    'Over the last 30 minutes, all 12 services answered; two of 3 agents did, agt-c was silent.',
    'The path is checkout → payment → `postgresql:orders@127.0.0.1:5432`.',
    'checkout calls `POST /charge/{id}` of the payment service; the orders database takes 305 ms of it.',
    'Around 14:35 the pod was OOM-killed (exit code 137, limit 512 MiB).',
    'It began 25 minutes after 14:10; the worst request took 2.3 s.',
    'Between 14:20–14:35 p95 tripled: 150–450 ms.',
    'On 21 November 2026 (Nov 21) requests went from 1.8k to 12.5k.',
    'Run `kubectl rollout undo deployment/payment`, or `helm rollback payment`; then look with `coral_query` again.',
    'Roll `payment` back to `1.3.0`. I ruled out the other 10 services: their p95 is 12 ms.',
    'The error rate is 0.125, i.e. 12.5%, on the checkout service alone.',
    'The 95th percentile is a 5xx-free 12 ms elsewhere; the slow service itself is payment.',
    'VERDICT: CONFIRMED',
  ])('has nothing amiss: %j', (answer) => {
    expect(find(answer)).toEqual([]);
  });
});

describe('an answer that makes things up', () => {
  it.each([
    ['p95 is 470 ms', ['470 ms']],
    ['since 14:05', ['14:05']],
    ['on 2026-11-20', ['2026-11-20']],
    ['on 20 November', ['20 November']],
    ['it was `billing`, the service ledger and "invoices"', ['billing', 'invoices', 'ledger']],
    ['payment 1.5.0', ['1.5.0']],
    ['payment v1.5', ['v1.5']],
    ['errors rose 40 %', ['40 %']],
    ['three times, 77 hosts', ['77']],
    // Digits of clocks, dates and names are no measurements.
    ['p95 is 41 ms, on 34 pods', ['41 ms', '34']],
    ['it needs 127 s', ['127 s']],
    // Ranges and signs hide nothing.
    ['it went 150-987 ms', ['987 ms']],
    ['up +987 ms, -654 ms', ['987 ms', '654 ms']],
    ['about 600 ms', ['600 ms']],
    // Half a name is another name.
    ['`pay` is slow', ['pay']],
    ['checkout → billing → payment', ['billing']],
    ['`GET /refund` of `payment@9.9.9`', ['/refund', 'payment@9.9.9', '9.9.9']],
    ['over the last 45 minutes', ['45 minutes']],
    ['limit 256 MiB', ['256 MiB']],
  ])('has it listed: %j', (answer, missing) => {
    expect(find(answer)).toEqual(missing);
  });

  it('has each thing listed once', () => {
    expect(find('470 ms, then 470 ms, of `billing` and `billing`')).toEqual(['470 ms', 'billing']);
  });
});

it('a long answer of hostile shape is checked in moderate time', { timeout: 5_000 }, () => {
  const numbers = Array.from({ length: 200_000 }, (_, i) => `${i * 7}ms`).join(' ');
  expect(find(numbers).length).toBeGreaterThan(1_000);
  const names = Array.from({ length: 50_000 }, (_, i) => `\`n${i}\``).join(' ');
  expect(find(names).length).toBeGreaterThan(100);
  expect(find(`${'`'.repeat(100_000)}${'1,'.repeat(100_000)}${'a.'.repeat(100_000)}`)).toEqual([]);
});
