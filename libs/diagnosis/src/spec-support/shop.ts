import type { Question } from '../diagnosis.js';
import { at, deploy, steady, type Level, type Sketch } from './hand-made.js';

export const ordersDb = 'postgresql:orders@127.0.0.1:5432';
export const slow: Question = { text: 'Why is checkout slow?', service: 'checkout', symptom: 'latency' };

/** Steady, then another level from `change` on. */
export function turning(steps: number, change: number, before: Level, after: Level): Level[] {
  return [...steady(change, before), ...steady(steps - change, after)];
}

/** web → checkout → payment → orders, with the catalogue and its own database beside it. */
export function shop(steps: number, change: number, events: Sketch['events'] = []): Sketch {
  return {
    steps,
    services: {
      web: turning(steps, change, { p95: 180 }, { p95: 480 }),
      checkout: turning(steps, change, { p95: 150 }, { p95: 450 }),
      payment: turning(steps, change, { p95: 60 }, { p95: 360 }),
      catalogue: steady(steps, { p95: 20 }),
    },
    calls: {
      'web>checkout': turning(steps, change, { p95: 155 }, { p95: 455 }),
      'web>catalogue': steady(steps, { p95: 22 }),
      'checkout>payment': turning(steps, change, { p95: 62 }, { p95: 362 }),
      [`payment>${ordersDb}`]: turning(steps, change, { p95: 5 }, { p95: 305 }),
      'catalogue>mysql:goods@127.0.0.1:3306': steady(steps, { p95: 4 }),
    },
    events,
  };
}

export const badDeploy = deploy('payment', at(20, 3_000), '1.4.0', '1.3.0');
