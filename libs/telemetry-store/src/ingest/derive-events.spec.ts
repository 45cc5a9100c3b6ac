import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { deriveEvents, drainMs, replacementMs, type Instance } from './derive-events.js';

const t = 1_000_000_000;
const seen = (version: string, instance: string, first: number, last: number, host = 'h1'): Instance => ({
  agentId: 'agt-a',
  service: 'cart',
  version,
  instance,
  host,
  firstSeenMs: t + first,
  lastSeenMs: t + last,
});
const told = (instances: Instance[]): string[] =>
  deriveEvents(instances).map((event) => `${event.type} ${event.previousVersion}>${event.version} ${event.instance}`);

describe('deriveEvents', () => {
  it.each<[string, Instance[], string[]]>([
    ['the first version is no deployment', [seen('1', 'a', 0, 9_000)], []],
    ['another version is', [seen('1', 'a', 0, 9_000), seen('2', 'b', 10_000, 20_000)], ['deploy 1>2 b']],
    [
      'going back to the old version is one too',
      [seen('1', 'a', 0, 9), seen('2', 'b', 10, 20), seen('1', 'c', 30, 40)],
      ['deploy 1>2 b', 'deploy 2>1 c'],
    ],
    [
      'a rolling deployment is one deployment',
      [
        seen('1', 'a', 0, 90_000),
        seen('1', 'b', 0, 99_000, 'h2'),
        seen('2', 'c', 95_000, 300_000),
        seen('2', 'd', 100_000, 300_000, 'h2'),
      ],
      ['deploy 1>2 c'],
    ],
    [
      'the same process under a new version is a deployment',
      [seen('1', 'a', 0, 9), seen('2', 'a', 10, 20)],
      ['deploy 1>2 a'],
    ],
    [
      'a new process after the old one is a restart',
      [seen('1', 'a', 0, 9_000), seen('1', 'b', 10_000, 20_000)],
      ['restart >1 b'],
    ],
    [
      'a process may finish its last requests beside the new one',
      [seen('1', 'a', 0, 10_000 + drainMs), seen('1', 'b', 10_000, 90_000)],
      ['restart >1 b'],
    ],
    ['a replica beside it is no restart', [seen('1', 'a', 0, 10_001 + drainMs), seen('1', 'b', 10_000, 90_000)], []],
    ['nor is one on another host', [seen('1', 'a', 0, 9_000), seen('1', 'b', 10_000, 20_000, 'h2')], []],
    [
      'one of three replicas restarts',
      [
        seen('1', 'a', 0, 900_000),
        seen('1', 'b', 0, 100_000),
        seen('1', 'c', 0, 900_000),
        seen('1', 'd', 105_000, 900_000),
      ],
      ['restart >1 d'],
    ],
    [
      'scaling up long after one went away is no restart',
      [seen('1', 'a', 0, 9e6), seen('1', 'b', 0, 100_000), seen('1', 'd', 100_001 + replacementMs, 9e6)],
      [],
    ],
    [
      'one that went away is replaced once',
      [seen('1', 'a', 0, 9), seen('1', 'b', 10, 99_999), seen('1', 'c', 11, 99_999)],
      ['restart >1 b'],
    ],
    [
      'a process without a version deploys nothing',
      [seen('1', 'a', 0, 9), seen('', 'b', 10, 19), seen('1', 'c', 20, 29)],
      ['restart >1 c'],
    ],
    ['two versions first seen at once are no deployment', [seen('1', 'a', 0, 9), seen('2', 'b', 0, 9)], []],
  ])('%s', (_name, instances, expected) => {
    expect(told(instances)).toEqual(expected);
  });

  it('does not depend on the order of the sightings', () => {
    const instance = fc
      .record({
        v: fc.constantFrom('1', '2', ''),
        i: fc.constantFrom('a', 'b', 'c', 'd'),
        first: fc.nat(9),
        span: fc.nat(9),
        h: fc.boolean(),
      })
      .map(({ v, i, first, span, h }) => seen(v, i, first * 20_000, (first + span) * 20_000, h ? 'h1' : 'h2'));
    const distinct = fc.uniqueArray(instance, {
      selector: (one) => `${one.version} ${one.instance} ${one.host}`,
      maxLength: 10,
    });
    fc.assert(
      fc.property(distinct, fc.infiniteStream(fc.nat()), (instances, keys) => {
        const shuffled = instances
          .map((one) => ({ one, key: keys.next().value as number }))
          .toSorted((a, b) => a.key - b.key)
          .map(({ one }) => one);
        expect(deriveEvents(shuffled)).toEqual(deriveEvents(instances));
      }),
    );
  });
});
