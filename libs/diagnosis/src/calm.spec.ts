import { describe, expect, it } from 'vitest';
import { diagnose } from './diagnose.js';
import { at, observe, startMs, steady, stepMs, type Level } from './spec-support/hand-made.js';
import { badDeploy, shop, slow, turning } from './spec-support/shop.js';

describe('when nothing is wrong', () => {
  it('says so with the numbers it looked at, and blames no deployment', () => {
    const sketch = shop(40, 40, [badDeploy]);
    const found = diagnose(slow, observe(sketch));
    expect(found).toMatchObject({ verdict: 'CONFIRMED', cause: null, symptom: null, ranked: [] });
    expect(found.text).toMatch(
      /^Nothing is wrong with checkout: it is not slower than before\. checkout: p95 15\d ms, errors 0 % of 8000 requests/,
    );
    expect(found.text).toContain('Looked at 4 services and 1 deployment.');
  });

  it('mentions what changed elsewhere without blaming it', () => {
    const found = diagnose({ ...slow, service: 'catalogue', text: 'Why is catalogue slow?' }, observe(shop(40, 20)));
    expect(found.cause).toBeNull();
    expect(found.text).toContain('But web did change');
  });

  it('is INCONCLUSIVE when the health check disagrees', () => {
    const health = [
      {
        service: 'checkout',
        status: 'degraded' as const,
        reason: 'error rate 9 % over 5 %',
        last_seen: null,
        requests_per_s: 1,
        error_rate: 0.09,
        p95_ms: 1,
        reference: null,
      },
    ];
    const found = diagnose(slow, observe(shop(40, 40), { health }));
    expect(found).toMatchObject({ verdict: 'INCONCLUSIVE', cause: null });
    expect(found.text).toContain('checkout is degraded (error rate 9 % over 5 %)');
  });
});

describe('a step that is not over', () => {
  it('does not end a rise in traffic', () => {
    const web: Level[] = [
      ...steady(20, { p95: 50, requests: 100 }),
      ...steady(2, { p95: 50, requests: 300 }),
      { p95: 50, requests: 20 },
    ];
    const o = observe({ steps: 23, services: { web }, calls: {} }, { now: startMs + 22 * stepMs + 600 });
    const found = diagnose({ text: 'Why is there so much traffic at web?', service: 'web', symptom: 'traffic' }, o);
    expect(found.symptom).toMatchObject({ metric: 'requests_per_s', before: 10, after: 30, since: at(20) });
  });

  it('does not end a slowness with a few early answers', () => {
    const sketch = shop(23, 20, [badDeploy]);
    for (const levels of [...Object.values(sketch.services), ...Object.values(sketch.calls)])
      levels[22] = { p95: 20, requests: 12 };
    const found = diagnose(slow, observe(sketch, { now: startMs + 22 * stepMs + 600 }));
    expect(found.cause).toMatchObject({ service: 'payment', kind: 'deploy' });
  });
});

describe('what cannot be seen', () => {
  it('is INCONCLUSIVE with too little data, and with none', () => {
    for (const steps of [0, 3]) {
      const found = diagnose(slow, observe(shop(steps, steps)));
      expect(found).toMatchObject({ verdict: 'INCONCLUSIVE', cause: null, symptom: null });
      expect(found.text).toContain('too little data');
      expect(found.gaps.join()).toMatch(steps === 0 ? /no numbers from/ : /too few requests to judge/);
    }
  });

  it('names silent agents, and is less sure where they could hide a deeper cause', () => {
    const o = observe(shop(40, 20), { silentAgents: ['agt-orders'] });
    const found = diagnose(slow, o);
    expect(found.gaps).toContain('no answer from agent agt-orders');
    expect(found.verdict).toBe('LIKELY');
    expect(found.text).toContain('agt-orders');
  });

  it('says that a service is unknown and looks at all of them', () => {
    const found = diagnose(
      { text: 'Why is chekout slow?', service: 'chekout', symptom: 'latency' },
      observe(shop(40, 20, [badDeploy])),
    );
    expect(found.gaps[0]).toBe('no service is called "chekout"; all services were looked at');
    expect(found.cause).toMatchObject({ service: 'payment', kind: 'deploy' });
  });

  it('does not name a cause for what began a moment ago and may be a stall', () => {
    const steps = 22;
    const found = diagnose(
      slow,
      observe({ steps, services: { checkout: turning(steps, 20, { p95: 150 }, { p95: 450 }) }, calls: {} }),
    );
    expect(found).toMatchObject({ verdict: 'INCONCLUSIVE', cause: null, symptom: { service: 'checkout' } });
  });
});
