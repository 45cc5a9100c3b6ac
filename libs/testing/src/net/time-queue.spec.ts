import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TimeQueue } from './time-queue.js';

describe('a time queue', () => {
  it('gives back in the order of time, then of coming, whatever was put in and taken out between', () => {
    const step = fc.oneof(fc.record({ push: fc.nat(20) }), fc.record({ take: fc.nat(20) }));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const queue = new TimeQueue<number>();
        const model: { at: number; id: number }[] = [];
        for (const [id, each] of steps.entries()) {
          if ('push' in each) {
            queue.push(each.push, id);
            model.push({ at: each.push, id });
            model.sort((a, b) => a.at - b.at || a.id - b.id);
          } else {
            const due = model[0] && model[0].at <= each.take ? model.shift()?.id : undefined;
            expect(queue.takeDue(each.take)?.item).toBe(due);
          }
          expect([queue.size, queue.nextAt]).toEqual([model.length, model[0]?.at ?? Infinity]);
        }
      }),
    );
  });

  it('leaves what came after a mark', () => {
    const queue = new TimeQueue<string>();
    queue.push(1, 'before');
    const mark = queue.order;
    queue.push(1, 'after');
    expect([queue.takeDue(1, mark)?.item, queue.takeDue(1, mark)]).toEqual(['before', undefined]);
  });
});
