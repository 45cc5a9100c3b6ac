import { describe, expect, it } from 'vitest';
import { findUnsupported } from './answer-check.js';

const texts = [
  'Why is checkout slow?',
  JSON.stringify({
    rows: [
      { service: 'checkout', start: '2026-11-21T14:30:10.000Z', requests: 1840, error_rate: 0.1254, p95_ms: 449.6 },
      { service: 'payment', p95_ms: 150.2, version: '1.4.0' },
    ],
  }),
];

describe('findUnsupported', () => {
  it.each([
    'checkout p95 went from 150 to 450 ms at 14:30:10 UTC',
    'errors are 12.5 % of 1,840 requests',
    'it takes 0.45 s, 3x as long: 150 ms before, 450 ms now',
    'payment 1.4.0 since 2026-11-21 14:30, one of 2 services',
    'the p95 of the service checkout; `payment`; "checkout"',
    '',
  ])('finds nothing amiss in %j', (answer) => {
    expect(findUnsupported(answer, { texts })).toEqual([]);
  });

  it.each([
    ['p95 is 470 ms', ['470 ms']],
    ['since 14:35', ['14:35']],
    ['on 2026-11-20', ['2026-11-20']],
    ['it was `billing`, the service ledger and "orders"', ['billing', 'orders', 'ledger']],
    ['payment 1.5.0', ['1.5.0']],
    ['errors rose 40 %', ['40 %']],
    ['three times, 77 hosts', ['77']],
  ])('lists what is made up in %j', (answer, missing) => {
    expect(findUnsupported(answer, { texts })).toEqual(missing);
  });
});
