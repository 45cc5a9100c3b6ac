import { describe, expect, it } from 'vitest';
import { diagnose } from './diagnose.js';
import { at, deploy, observe, steady, type Level } from './spec-support/hand-made.js';
import { badDeploy, ordersDb, shop, slow, turning } from './spec-support/shop.js';

describe('a bad deployment', () => {
  it('is blamed for the slow query it issues, not the database and not the innocent deployment beside it', () => {
    const innocent = deploy('catalogue', at(20, 1_000), '2.1.0', '2.0.0');
    const found = diagnose(slow, observe(shop(40, 20, [innocent, badDeploy])));
    expect(found.cause).toEqual({
      service: 'payment',
      kind: 'deploy',
      version: '1.4.0',
      previousVersion: '1.3.0',
      at: at(20, 3_000),
    });
    expect(found.verdict).toBe('CONFIRMED');
    expect(found.symptom).toMatchObject({ service: 'checkout', metric: 'p95_ms', since: at(20) });
    expect(found.symptom?.before).toBeGreaterThan(140);
    expect(found.symptom?.after).toBeLessThan(480);
    expect(found.ruledOut).toEqual([
      { what: expect.stringContaining('catalogue 2.1.0'), why: expect.stringContaining('not on the path') },
    ]);
    expect(found.text).toMatch(
      /^payment 1\.4\.0, deployed at 14:28:23 UTC, made checkout slow: p95 \d+ → \d+ ms since 14:28:20 UTC\./,
    );
    expect(found.text).toContain('roll payment back to 1.3.0');
    expect(new Set(found.evidence.map((e) => e.tool))).toEqual(
      new Set(['coral_query', 'coral_get_topology', 'coral_query_events']),
    );
  });

  it('is found with three steps before it and two after', () => {
    const found = diagnose(slow, observe(shop(5, 3, [deploy('payment', at(3, 2_000), '1.4.0', '1.3.0')])));
    expect(found.cause).toMatchObject({ service: 'payment', kind: 'deploy', version: '1.4.0' });
  });

  it('is found when nobody is named in the question', () => {
    const found = diagnose({ text: 'What is wrong?', symptom: 'any' }, observe(shop(40, 20, [badDeploy])));
    expect(found.cause).toMatchObject({ service: 'payment', kind: 'deploy' });
    expect(found.symptom?.service).toBe('web');
  });

  it('is not blamed when it came after the change, nor when it came long before', () => {
    const late = diagnose(slow, observe(shop(40, 20, [deploy('payment', at(24), '1.4.0', '1.3.0')])));
    expect(late.cause).toMatchObject({ kind: 'database', service: ordersDb });
    expect(late.ruledOut[0]?.why).toContain('too late');
    const early = diagnose(slow, observe(shop(80, 70, [deploy('payment', at(2), '1.4.0', '1.3.0')])));
    expect(early.cause).toMatchObject({ kind: 'database', service: ordersDb });
    expect(early.ruledOut[0]?.why).toContain('too early');
  });

  it('is blamed for the errors it returns, through a caller that tries again', () => {
    const steps = 40;
    const found = diagnose(
      { text: 'Why is checkout failing?', service: 'checkout', symptom: 'errors' },
      observe({
        steps,
        services: {
          checkout: turning(steps, 20, { p95: 90, errors: 1 }, { p95: 95, errors: 30 }),
          payment: turning(steps, 20, { p95: 40, errors: 1 }, { p95: 40, errors: 110, requests: 290 }),
        },
        calls: {
          'checkout>payment': turning(steps, 20, { p95: 42, errors: 1 }, { p95: 42, errors: 110, requests: 290 }),
        },
        events: [badDeploy],
      }),
    );
    expect(found.cause).toMatchObject({ service: 'payment', kind: 'deploy', version: '1.4.0' });
    expect(found.text).toMatch(/made checkout fail: errors 0\.5 → 15 %/);
  });

  it('that was taken back is reported as over, with the way back', () => {
    const steps = 60;
    const hump = (low: number, high: number): Level[] => [
      ...steady(20, { p95: low }),
      ...steady(20, { p95: high }),
      ...steady(20, { p95: low }),
    ];
    const found = diagnose(
      slow,
      observe({
        steps,
        services: { checkout: hump(150, 450), payment: hump(60, 360) },
        calls: { 'checkout>payment': hump(62, 362) },
        events: [badDeploy, deploy('payment', at(40), '1.3.0', '1.4.0')],
      }),
    );
    expect(found.cause).toMatchObject({ service: 'payment', version: '1.4.0' });
    expect(found.text).toContain('from 14:28:20 to 14:31:40 UTC; it is over now');
    expect(found.text).toContain('It recovered after payment 1.3.0 was deployed at 14:31:40 UTC');
    expect(found.text).not.toContain('Recommended: roll');
  });
});

describe('a slow database', () => {
  it('is blamed when all who call it got slow, even if one of them was deployed at that moment', () => {
    const steps = 40;
    const sketch = shop(steps, 20, [badDeploy]);
    sketch.services['billing'] = turning(steps, 20, { p95: 40 }, { p95: 340 });
    sketch.calls[`billing>${ordersDb}`] = turning(steps, 20, { p95: 5 }, { p95: 305 });
    const found = diagnose(slow, observe(sketch));
    expect(found.cause).toMatchObject({ kind: 'database', service: ordersDb });
    expect(found.ranked.map((r) => r.cause.kind)).toContain('deploy');
    expect(found.text).toContain('Calls to it from billing changed as well.');
  });

  it('is not blamed when only the calls of the newly deployed service got slow', () => {
    const sketch = shop(40, 20, [badDeploy]);
    sketch.services['billing'] = steady(40, { p95: 40 });
    sketch.calls[`billing>${ordersDb}`] = steady(40, { p95: 5 });
    const found = diagnose(slow, observe(sketch));
    expect(found.cause).toMatchObject({ kind: 'deploy', service: 'payment' });
    expect(found.text).toContain('Calls to it from billing did not change.');
  });

  it('is blamed when nobody was deployed', () => {
    const found = diagnose(slow, observe(shop(40, 20)));
    expect(found).toMatchObject({ verdict: 'CONFIRMED', cause: { kind: 'database', service: ordersDb } });
  });
});

describe('other causes', () => {
  it('names the entry where traffic rose when the rise came first and reached every hop', () => {
    const steps = 40;
    const busy = (p95: number, slowed: number): Level[] =>
      turning(steps, 20, { p95, requests: 100 }, { p95: slowed, requests: 300 });
    const found = diagnose(
      slow,
      observe({
        steps,
        services: { web: busy(180, 480), checkout: busy(150, 450) },
        calls: { 'web>checkout': busy(155, 455), [`checkout>${ordersDb}`]: busy(10, 300) },
      }),
    );
    expect(found.cause).toMatchObject({ kind: 'traffic', service: 'web' });
    expect(found.text).toContain('Traffic at web rose from 10 requests/s to 30 requests/s');
  });

  it('does not call retries a surge', () => {
    const steps = 40;
    const found = diagnose(
      { ...slow, symptom: 'errors' },
      observe({
        steps,
        services: {
          web: steady(steps, { p95: 180 }),
          checkout: turning(steps, 20, { p95: 150 }, { p95: 160, errors: 40 }),
          payment: turning(steps, 20, { p95: 60 }, { p95: 60, requests: 500, errors: 300 }),
        },
        calls: {
          'web>checkout': turning(steps, 20, { p95: 155 }, { p95: 165, errors: 40 }),
          'checkout>payment': turning(steps, 20, { p95: 62 }, { p95: 62, requests: 500, errors: 300 }),
        },
      }),
    );
    expect(found.cause).toMatchObject({ kind: 'service', service: 'payment' });
  });

  it('blames the deployment that multiplied the calls, not the service they overload', () => {
    const steps = 40;
    const flooded = turning(steps, 20, { p95: 60 }, { p95: 360, requests: 1_000 });
    const found = diagnose(
      slow,
      observe({
        steps,
        services: {
          web: turning(steps, 20, { p95: 180 }, { p95: 480 }),
          checkout: turning(steps, 20, { p95: 150 }, { p95: 450 }),
          payment: flooded,
        },
        calls: { 'web>checkout': turning(steps, 20, { p95: 155 }, { p95: 455 }), 'checkout>payment': flooded },
        events: [deploy('checkout', at(20, 1_000), '5.0.0', '4.9.0')],
      }),
    );
    expect(found.cause).toMatchObject({ service: 'checkout', kind: 'deploy', version: '5.0.0' });
  });

  it('names a service that stopped answering', () => {
    const steps = 30;
    const found = diagnose(
      { ...slow, symptom: 'errors' },
      observe({
        steps,
        services: {
          checkout: turning(steps, 20, { p95: 150 }, { p95: 30, errors: 200 }),
          payment: steady(20, { p95: 60 }),
        },
        calls: { 'checkout>payment': turning(steps, 20, { p95: 62 }, { p95: 3, errors: 200 }) },
        events: [{ at: at(20, 2_000), type: 'crash', service: 'payment', summary: 'payment crashed' }],
      }),
    );
    expect(found.cause).toMatchObject({ kind: 'restart', service: 'payment' });
    expect(found.text).toContain('payment crashed at 14:28:22 UTC');
  });

  it('names the service itself, and only as likely, when nothing explains why it got slow', () => {
    const steps = 40;
    const found = diagnose(
      slow,
      observe({
        steps,
        services: { checkout: turning(steps, 20, { p95: 150 }, { p95: 450 }) },
        calls: { [`checkout>${ordersDb}`]: steady(steps, { p95: 5 }) },
      }),
    );
    expect(found).toMatchObject({ verdict: 'LIKELY', cause: { kind: 'service', service: 'checkout' } });
  });

  it('blames a hanging process, not the five things it calls', () => {
    const steps = 40;
    const outs = ['a@h:1', 'b@h:1', 'c@h:1'].map((name) => `redis:${name}`);
    const found = diagnose(
      slow,
      observe({
        steps,
        services: { checkout: turning(steps, 20, { p95: 150 }, { p95: 450 }) },
        calls: Object.fromEntries(outs.map((to) => [`checkout>${to}`, turning(steps, 20, { p95: 5 }, { p95: 290 })])),
      }),
    );
    expect(found.cause).toMatchObject({ kind: 'service', service: 'checkout' });
  });
});

it('answers the other complaint when the one asked about is not there', () => {
  const steps = 40;
  const found = diagnose(
    slow,
    observe({ steps, services: { checkout: turning(steps, 20, { p95: 150 }, { p95: 150, errors: 60 }) }, calls: {} }),
  );
  expect(found.symptom?.metric).toBe('error_rate');
  expect(found.text).toMatch(/^checkout is not slower, but it fails more\./);
});

it('reads a day of 10 s steps of a hundred series in a few seconds', () => {
  const steps = 8_640;
  const services = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`s${i}`, steady(steps, { p95: 50 + i })]));
  services['s0'] = turning(steps, 6_000, { p95: 50 }, { p95: 150 });
  services['s1'] = turning(steps, 6_000, { p95: 20 }, { p95: 120 });
  const calls = Object.fromEntries(
    Array.from({ length: 49 }, (_, i) => [
      `s${Math.floor(i / 2)}>s${i + 1}`,
      i === 0 ? turning(steps, 6_000, { p95: 20 }, { p95: 120 }) : steady(steps, { p95: 51 }),
    ]),
  );
  const started = performance.now();
  const found = diagnose(
    { text: 'What is wrong?', symptom: 'any' },
    observe({ steps, services, calls, events: [deploy('s1', at(6_000), '2', '1')] }),
  );
  expect(found.cause).toMatchObject({ service: 's1', kind: 'deploy' });
  expect(performance.now() - started).toBeLessThan(15_000);
});
