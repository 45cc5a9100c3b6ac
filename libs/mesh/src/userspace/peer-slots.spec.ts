import { describe, expect, it } from 'vitest';
import { PeerSlots, RevocationView } from './peer-slots.js';

describe('the slots of peers', () => {
  it('tells the other side of a revocation once, and of whom', () => {
    const slots = new PeerSlots(8);
    const view = new RevocationView(slots.buffer);
    const [first, second] = [slots.take() as number, slots.take() as number];
    expect(view.hasNews()).toBe(false);
    slots.revoke(first);
    expect([view.hasNews(), view.hasNews()]).toEqual([true, false]);
    expect([view.isRevoked(first), view.isRevoked(second)]).toEqual([true, false]);
  });

  it('hands a slot out again only once both sides have let go of it', () => {
    const slots = new PeerSlots(2);
    const first = slots.take() as number;
    expect(slots.take()).not.toBe(first);
    expect(slots.take()).toBeUndefined();
    slots.revoke(first);
    expect(slots.take()).toBeUndefined();
    slots.release(first);
    expect(slots.take()).toBe(first);
  });

  it('goes round before it uses a slot again', () => {
    const slots = new PeerSlots(3);
    const first = slots.take() as number;
    slots.revoke(first);
    slots.release(first);
    expect(slots.take()).not.toBe(first);
  });
});
