import { describe, expect, it } from 'vitest';
import { emptyHistogram } from '@coral/model';
import { healthWindows, judgeHealth, type HealthFacts, type HealthSample } from './health.js';
import { histogram } from './testing/store-fixture.js';

const now = Date.parse('2026-05-04T12:00:00Z');
const sample = (lengthMs: number, requests: number, errors: number, ms: number): HealthSample => ({
  from: now - lengthMs,
  to: now,
  requests,
  errors,
  latency: requests === 0 ? emptyHistogram() : histogram(Array.from({ length: requests }, () => ms)),
});
const recent = (requests: number, errors = 0, ms = 50) => sample(60_000, requests, errors, ms);
const reference = (requests: number, errors = 0, ms = 50) => sample(600_000, requests, errors, ms);
const facts = (changes: Partial<HealthFacts>): HealthFacts => ({
  now,
  recent: recent(100),
  reference: reference(1_000),
  lastAnsweredMs: now - 5_000,
  callers: null,
  silentAgents: [],
  ...changes,
});

const slowTenth = histogram(Array.from({ length: 100 }, (_, i) => (i < 10 ? 200 : 50)));

describe('judgeHealth', () => {
  it.each<[string, Partial<HealthFacts>, string, RegExp]>([
    ['same as before', {}, 'healthy', /p95 50 ms, 0 % errors, 100 requests in the last 60 s/],
    ['slower by half and 20 ms', { recent: recent(100, 0, 80) }, 'degraded', /p95 8\d(\.\d)? ms against (49|50)/],
    [
      'slower by half but only 4 ms',
      { recent: recent(100, 0, 8), reference: reference(1_000, 0, 4) },
      'healthy',
      /p95/,
    ],
    [
      '20 ms slower but not by half',
      { recent: recent(100, 0, 230), reference: reference(1_000, 0, 200) },
      'healthy',
      /p95/,
    ],
    [
      'errors up by two points',
      { recent: recent(100, 3), reference: reference(1_000, 10) },
      'degraded',
      /3 % against 1 %/,
    ],
    [
      'one straggler among few requests',
      { recent: { ...recent(12), latency: histogram([...Array.from({ length: 11 }, () => 50), 900]) } },
      'healthy',
      /12 requests/,
    ],
    [
      'one in ten slow, against a minute of reference',
      { recent: { ...recent(100), latency: slowTenth }, reference: sample(60_000, 100, 0, 50) },
      'healthy',
      /100 requests/,
    ],
    [
      'one in ten slow, against ten minutes of reference',
      { recent: { ...recent(100), latency: slowTenth } },
      'degraded',
      /p95 2\d\d ms against/,
    ],
    ['two failures among few requests', { recent: recent(12, 2), reference: reference(1_000, 0) }, 'healthy', /12 req/],
    ['errors up by one point', { recent: recent(100, 2), reference: reference(1_000, 10) }, 'healthy', /2 % errors/],
    [
      'always failing a little',
      { recent: recent(100, 30), reference: reference(1_000, 300) },
      'healthy',
      /30 % errors/,
    ],
    ['half of the requests fail', { recent: recent(100, 50) }, 'down', /50 % of 100 requests failed/],
    ['half fail, nothing to compare with', { recent: recent(100, 50), reference: null }, 'down', /50 %/],
    [
      'nine requests, all failed',
      { recent: recent(9, 9) },
      'unknown',
      /too few samples: 9 requests .* 9 failed; 10 are needed/,
    ],
    ['no reference', { reference: null }, 'unknown', /nothing to compare with: no data/],
    ['short reference', { reference: reference(19) }, 'unknown', /only 19 requests .* 20 are needed/],
    [
      'merely quiet',
      { recent: recent(0), lastAnsweredMs: now - 240_000 },
      'unknown',
      /no request in the last 60 s.*240 s ago/,
    ],
    ['never answered', { recent: recent(0), reference: null, lastAnsweredMs: null }, 'unknown', /never answered/],
    [
      'its callers fail',
      { recent: recent(0), callers: { requests: 12, errors: 12 } },
      'down',
      /12 calls, 100 % failed/,
    ],
    [
      'its callers succeed',
      { recent: recent(0), callers: { requests: 12, errors: 0 } },
      'unknown',
      /its own telemetry is missing/,
    ],
    ['its agent is silent', { recent: recent(0), silentAgents: ['web-1'] }, 'unknown', /silent agent web-1/],
  ])('%s', (_name, changes, status, reason) => {
    const verdict = judgeHealth(facts(changes));
    expect(verdict.status).toBe(status);
    expect(verdict.reason).toMatch(reason);
  });
});

describe('healthWindows', () => {
  it.each([
    ['old store', 86_400_000, 60_000, 600_000],
    ['five minutes', 300_000, 60_000, 240_000],
    ['two minutes', 120_000, 30_000, 90_000],
    ['half a minute', 30_000, 10_000, 20_000],
    ['first window', 10_000, 10_000, 0],
  ])('%s', (_name, age, recentMs, referenceMs) => {
    const { recentFrom, referenceFrom } = healthWindows(now, now - age);
    expect(now - recentFrom).toBe(recentMs);
    expect(recentFrom - referenceFrom).toBe(referenceMs);
  });
});
