import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { endFrame, frameHeader, FrameReader, maxFrameBytes } from './direct-frames.js';

function read(chunks: Buffer[]): { bytes: Buffer; ended: boolean } {
  const parts: Buffer[] = [];
  let ended = false;
  const reader = new FrameReader({
    bytes: (bytes) => parts.push(Buffer.from(bytes)),
    end: () => {
      ended = true;
    },
  });
  for (const chunk of chunks) reader.read(chunk);
  return { bytes: Buffer.concat(parts), ended };
}

const framed = (bytes: Uint8Array): Buffer => Buffer.concat([frameHeader(bytes.length), bytes]);

describe('frames', () => {
  it('come out whole however the bytes were cut on their way', () => {
    const payload = fc.uint8Array({ minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(fc.array(payload, { maxLength: 8 }), fc.array(fc.nat(1_000), { maxLength: 20 }), (writes, cuts) => {
        const wire = Buffer.concat([...writes.map(framed), endFrame]);
        const places = [0, ...cuts.map((cut) => cut % wire.length).toSorted((a, b) => a - b), wire.length];
        const chunks = places.slice(1).map((end, i) => wire.subarray(places[i], end));
        expect(read(chunks)).toEqual({ bytes: Buffer.concat(writes), ended: true });
      }),
    );
  });

  it('say that a stream without its end is not complete', () => {
    expect(read([framed(Buffer.from('half')), endFrame.subarray(1)]).ended).toBe(false);
  });

  it('refuse a giant, and anything after the end', () => {
    expect(() => read([frameHeader(maxFrameBytes + 1)])).toThrow(RangeError);
    expect(() => read([endFrame, Buffer.of(0)])).toThrow(RangeError);
  });
});
